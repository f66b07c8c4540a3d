"""Names of tasks: readable, and fit for folders and config keys."""

import re
from collections.abc import Iterable, Sequence

from fedlora import registry
from fedlora.errors import FedloraError

OUTSIDE = re.compile(r"[^A-Za-z0-9=,+._-]+")


def task_name(text: str) -> str:
    """The text with everything but letters, digits and =,+._- turned into underscores."""
    return OUTSIDE.sub("_", text).strip("._") or "unnamed"


def check_names(names: Iterable[str], key: str) -> None:
    """Refuse names that a configuration gives and that are not fit as they are.

    Raises:
        ValueError: which one, after its key.
    """
    for name in names:
        if OUTSIDE.search(name):
            raise ValueError(f"{key}: '{name}' has characters besides letters, digits, =,+._-")


def distinct_names(texts: Iterable[str], what: str) -> dict[str, str]:
    """Text -> its name, no two alike.

    Raises:
        FedloraError: two of the texts have one name; `what` says where they stand.
    """
    texts_of: dict[str, str] = {}
    for text in texts:
        other = texts_of.setdefault(task_name(text), text)
        if other != text:
            raise FedloraError(
                f"{what}: {other[:80]!r} and {text[:80]!r} would both be called"
                f" '{task_name(text)[:80]}'; rename one of them"
            )
    return {text: name for name, text in texts_of.items()}


def unknown_task(family: str, name: str, known: Sequence[str]) -> FedloraError:
    """The error for a name that the family has not."""
    return FedloraError(f"{family}: no task '{name}'; {registry.nearest(name, list(known))}")
