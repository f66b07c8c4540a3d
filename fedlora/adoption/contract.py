"""What an adoption policy is: the server offers adapters, the newcomer settles on one."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.section import Section


@dataclass(frozen=True)
class Neighbour:
    """A task of the bank beside a newcomer's.

    adapter: the task's mean DeltaW at the bank's rank.
    distance: squared distance of the task vectors; 1 is what is usual between a task of the bank
        and its nearest.
    """

    adapter: LoraAdapter
    distance: float


@dataclass(frozen=True)
class Hand:
    """What the server can give to one newcomer.

    method: (name, sample) -> the adapter that a method of the table answers with; methods that
        draw at random answer differently for each sample.
    nearest: count -> that many tasks of the bank at most, the nearest first.
    reach: () -> the distance within which 95 % of the bank's tasks have their own nearest.
    chosen: the way to serve that won the bank's trial; None where none was held.
    """

    method: Callable[[str, int], LoraAdapter]
    nearest: Callable[[int], list[Neighbour]]
    reach: Callable[[], float] = lambda: math.inf
    chosen: str | None = None


@dataclass(frozen=True)
class Offer:
    """What travels to the newcomer.

    adapters: by name, in an order that both sides see.
    distances: by name, from the newcomer's task to one of the bank; in units of `Neighbour`.
    error: what a generator foretells of what it made, as `Reach` has it; None where none does.
    """

    adapters: Mapping[str, LoraAdapter]
    distances: Mapping[str, float] = field(default_factory=dict)
    error: float | None = None


@dataclass(frozen=True)
class Score:
    """What an adapter is worth on some examples.

    value: the task's metric, turned so that more is better. loss: the mean.
    """

    value: float
    loss: float


class Trial(Protocol):
    """A newcomer's few labelled examples; its own, and seen by nobody else."""

    @property
    def examples(self) -> int:
        """How many there are."""
        ...

    def score(self, adapter: LoraAdapter, rows: Tensor | None = None) -> Score:
        """An adapter on the examples, or on these rows of them."""
        ...

    def refine(self, adapter: LoraAdapter, parts: Sequence[Tensor]) -> list[LoraAdapter]:
        """What becomes of the adapter by local training on each of some parts of the examples."""
        ...


class Policy(ABC):
    """One way to adopt; one file a policy in `adoption/`.

    needs_draws: the generator has to answer differently each time it is asked.
    needs_labels: a newcomer without labels cannot choose.
    needs_neighbours: it asks for the bank's nearest tasks.
    """

    Config: ClassVar[type[Section]]
    needs_draws: bool = False
    needs_labels: bool = False
    needs_neighbours: bool = False

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods of the table that the server must have fitted for this policy."""
        return ()

    @property
    @abstractmethod
    def title(self) -> str:
        """What the policy is called in the table."""

    @property
    def adapters(self) -> int:
        """How many adapters an offer holds at most."""
        return 1

    @abstractmethod
    def offer(self, hand: Hand) -> Offer:
        """On the server: what is sent."""

    @abstractmethod
    def choose(self, offer: Offer, trial: Trial) -> LoraAdapter:
        """On the newcomer: what is used.

        Raises:
            FedloraError: the offer is not what `offer` makes.
        """
