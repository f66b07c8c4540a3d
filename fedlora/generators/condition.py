"""Task vectors put on one scale by the bank's own statistics."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlora.errors import FedloraError


@dataclass(frozen=True)
class Standard:
    """z = (condition - mean) / spread, feature by feature.

    mean, spread: (c,) float32; a feature that never varied in the bank has spread infinity, so
    that it says nothing about a newcomer either.
    """

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, conditions: Tensor) -> "Standard":
        """Statistics of the bank's conditions (n, c)."""
        values = conditions.double()
        spread = values.std(0, correction=0)
        # a constant column of float32 values has a spread of rounding errors, not of zero
        constant = spread <= 1e-6 * values.abs().amax(0)
        spread = torch.where(constant, torch.inf, spread)
        return cls(values.mean(0).float(), spread.float())

    def __call__(self, conditions: Tensor) -> Tensor:
        """Standardised conditions (n, c) float32.

        Raises:
            FedloraError: another number of features than the bank's, or NaN or infinity.
        """
        if conditions.ndim != 2 or conditions.shape[1] != len(self.mean):
            raise FedloraError(
                f"task vectors of shape {tuple(conditions.shape)}, but the generator learned from"
                f" {len(self.mean)} features a task: describe the task as the bank's were"
            )
        check_finite(conditions)
        return (conditions.float() - self.mean) / self.spread

    def tensors(self) -> dict[str, Tensor]:
        """All that `load` needs."""
        return {"mean": self.mean, "spread": self.spread}

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor]) -> "Standard":
        """The inverse of `tensors`; raises KeyError where one is missing."""
        return cls(tensors["mean"], tensors["spread"])


@dataclass(frozen=True)
class Projection:
    """Standardised conditions along some directions.

    axes: (c, k) float32. Of `of`, the bank's main directions at their relative sizes, the first of
        variance one: with more features than tasks, the small ones are noise.
    """

    standard: Standard
    axes: Tensor

    @classmethod
    def of(cls, conditions: Tensor, components: int) -> "Projection":
        """From the bank's conditions (n, c); k is at most `components`, n and c.

        Raises:
            FedloraError: all conditions are the same.
        """
        standard = Standard.of(conditions)
        return cls(standard, main_axes(standard(conditions), components))

    def __call__(self, conditions: Tensor) -> Tensor:
        """Projected conditions (n, k) float32; raises FedloraError as `Standard` does."""
        return self.standard(conditions) @ self.axes

    def tensors(self) -> dict[str, Tensor]:
        """All that `load` needs."""
        return self.standard.tensors() | {"axes": self.axes}

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor]) -> "Projection":
        """The inverse of `tensors`; raises KeyError where one is missing."""
        return cls(Standard.load(tensors), tensors["axes"])


View = Standard | Projection
"""How task vectors (n, c) are seen before they are compared, (n, d)."""


def main_axes(known: Tensor, components: int) -> Tensor:
    """The main directions (c, k) of standardised conditions (n, c), as in `Projection`.

    Raises:
        FedloraError: all conditions are the same.
    """
    svd = torch.linalg.svd(known.double(), full_matrices=False)
    if not svd.S[0] > 0:
        raise FedloraError(
            "all task vectors of the bank are the same: describe tasks by their own samples"
        )
    axes: Tensor = _signed(svd.Vh[:components].T) * math.sqrt(len(known)) / svd.S[0]
    return axes.float().contiguous()


def _signed(columns: Tensor) -> Tensor:
    """Columns whose largest entry is positive, since a direction has no sign of its own."""
    largest = columns.gather(0, columns.abs().argmax(0, keepdim=True))
    return torch.where(largest < 0, -columns, columns)


def check_finite(conditions: Tensor) -> None:
    """Raises FedloraError at the first row of conditions (n, c) that is not finite."""
    bad = torch.nonzero(~torch.isfinite(conditions).all(dim=1))
    if len(bad):
        raise FedloraError(f"the task vector in row {int(bad[0])} holds NaN or infinity")
