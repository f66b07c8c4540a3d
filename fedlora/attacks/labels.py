"""The labels of training rows, for attacks that change them."""

from collections.abc import Mapping

from torch import Tensor

from fedlora.errors import FedloraError


def labels_of(rows: Mapping[str, Tensor], classes: int, attack: str) -> Tensor:
    """(n,) int64 in 0..classes - 1.

    Raises:
        FedloraError: the rows have no class each.
    """
    labels = rows.get("labels")
    if labels is None or labels.ndim != 1 or classes < 2:
        raise FedloraError(
            f"attackers.attack: '{attack}' needs tasks that classify, and these rows have no class"
            " each; choose another attack"
        )
    return labels
