"""What an aggregation method is: several adapters in, one out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from fedlora.adapter import LoraAdapter
from fedlora.errors import FedloraError
from fedlora.section import Section


class Aggregator(ABC):
    """One method of averaging adapters; one file a method in `aggregation/`."""

    Config: ClassVar[type[Section]]

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def aggregate(self, adapters: Sequence[LoraAdapter], weights: Sequence[float]) -> LoraAdapter:
        """The adapter that every client goes on from.

        Args:
            adapters: n adapters of one base model and one set of layers, in the order of their
                clients, so that the sum is the same whatever the order of answers.
            weights: n non-negative weights; only their ratios matter.

        Raises:
            FedloraError: the weights are all zero, or the method cannot mix what it was given.
        """


def shares(weights: Sequence[float]) -> list[float]:
    """Weights as shares that add up to one.

    Raises:
        FedloraError: there are none, one is negative, or all are zero.
    """
    total = sum(weights)
    if not weights or min(weights) < 0 or total <= 0:
        raise FedloraError(f"aggregation weights {list(weights)}: at least one must be positive")
    return [weight / total for weight in weights]
