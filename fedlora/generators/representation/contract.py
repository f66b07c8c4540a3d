"""What a representation of adapters is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.generators.representation.product_error import ProductError


class Representation(ABC):
    """A map between adapters and points, made from a bank and kept in a generator's file.

    Over the bank it was made from, points have mean zero and mean squared norm one.
    """

    @classmethod
    @abstractmethod
    def of(cls, adapters: Sequence[LoraAdapter], components: int) -> tuple[Self, Tensor]:
        """The representation of a bank, and the bank's points (n, k) float32.

        adapters: all of one spec.
        components: the most coordinates to keep, where coordinates are chosen.

        Raises:
            FedloraError: all adapters of the bank are the same.
        """

    @property
    @abstractmethod
    def size(self) -> int:
        """Coordinates of a point, k."""

    @abstractmethod
    def decode(self, points: Tensor, rank: int | None = None) -> list[LoraAdapter]:
        """One adapter a row of points (n, k), at a rank or at the bank's own."""

    @abstractmethod
    def product_error(self, adapters: Sequence[LoraAdapter]) -> ProductError | None:
        """The error of DeltaW that points make; None where distances of points are just that.

        adapters: the bank that the representation was made from.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """All that `load` needs beside the spec."""

    @classmethod
    @abstractmethod
    def load(cls, spec: AdapterSpec, tensors: Mapping[str, Tensor]) -> Self:
        """The inverse of `tensors`.

        Raises:
            FedloraError, KeyError: tensors are missing or of another shape.
        """
