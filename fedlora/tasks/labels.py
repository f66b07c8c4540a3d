"""From values in a column to label indices."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlora import registry
from fedlora.errors import FedloraError


def label_indices(
    values: Sequence[Any],
    names: Sequence[str] | None,
    where: Sequence[str],
    key: str,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Indices (n,) int64 of n values, and the label names they point to.

    Args:
        values: n labels as they stand in the data; compared as text.
        names: the label set in order, or None for the sorted values themselves.
        where: n places ("data.csv line 3"), for the messages.
        key: the column's name, for the messages.

    Raises:
        FedloraError: a value is not in the label set, or all values are the same.
    """
    texts = [str(value) for value in values]
    label_names = tuple(names) if names is not None else tuple(sorted(set(texts)))
    position = {name: index for index, name in enumerate(label_names)}
    for text, place in zip(texts, where, strict=True):
        if text not in position:
            hint = registry.nearest(text, list(label_names))
            raise FedloraError(f"{place}: {key} '{text}' is not in the label set: {hint}")
    if len(set(texts)) < 2:
        place = where[0].split(" line ")[0] if where else "no data"
        raise FedloraError(f"{place}: {key} has one class only; give examples of two or more")
    return np.array([position[text] for text in texts], dtype=np.int64), label_names
