"""What an aggregation method is: what clients do in a round, and what becomes of their adapters."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.parts import WHOLE, Parts
from fedlora.adapter.resize import resize
from fedlora.adapter.span import AdapterSpan
from fedlora.errors import FedloraError
from fedlora.section import Section

FOLD = "fold"
"""The name in `State.extra` of what clients add to their frozen base after the round."""

CONTROL = "control"
"""The name in `State.extra` of the control variate that every client gets."""

GONE = "this client's memory is gone"
"""How a client begins that has lost what it kept of its last round that counted."""


@dataclass(frozen=True)
class Duty:
    """What a client does in one round. Heads are always trained, sent and averaged.

    trains: the factors that move; the others stay as they came.
    sends: parts of the trained adapter that go up.
    gets: parts of the common adapter that come down; the others the client draws from the run's
        seed or has kept.
    keeps: parts of its trained adapter that the client holds on to until its next round.
    gets_late: what comes down instead to a client that has kept nothing.
    redraws: whether what does not come down is drawn anew in each round.
    folds: whether clients add to their frozen base what `State.extra` holds under `FOLD`.
    controls: whether control variates correct their gradients.
    pull: mu of the proximal term mu / 2 |w - w_start|^2.
    prunes: share of its ranks that a client may keep when the others have faded, and the weight
        of the term that makes them fade; None where ranks stay.
    """

    trains: Parts = ("down", "up")
    sends: Parts = WHOLE
    gets: Parts = WHOLE
    keeps: Parts = ()
    gets_late: Parts | None = None
    redraws: bool = False
    folds: bool = False
    controls: bool = False
    pull: float = 0.0
    prunes: tuple[float, float] | None = None

    @property
    def remembers(self) -> bool:
        """Whether a client must hold something from one round to the next."""
        return bool(self.keeps) or self.folds or self.controls


@dataclass(frozen=True)
class State:
    """What the server knows after a round.

    round: how many have passed.
    members: clients that could take part, chosen for the round or not.
    common: the adapter that clients go on from, at whatever rank the method keeps it.
    extra: what else it needs or hands out, by name.
    report: numbers about the round, for its line of the metrics.
    asked: clients that were chosen for the round that is aggregated; 0 where nobody counted.
    """

    round: int
    common: LoraAdapter
    members: int = 1
    extra: Mapping[str, LoraAdapter] = field(default_factory=dict)
    report: Mapping[str, float] = field(default_factory=dict)
    asked: int = 0


class Aggregator(ABC):
    """One method of federated training with adapters; one file a method in `aggregation/`.

    mixed_ranks: whether clients of different ranks can take part.
    new_factors: whether what clients go on from has factors unlike those of the round before, such
        as an SVD's, so that nothing that was left out of those can be added.
    """

    Config: ClassVar[type[Section]]
    mixed_ranks: ClassVar[bool] = False
    new_factors: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def broadcasts(self) -> bool:
        """Whether every client of a rank gets the same whole adapter."""
        duty = self.duty(1)
        return duty.gets == WHOLE and duty.prunes is None

    def duty(self, round: int) -> Duty:  # noqa: ARG002 - most rounds are alike
        """What clients do in a round, counted from 1."""
        return Duty()

    def misfit(self, asked: int) -> str | None:  # noqa: ARG002 - most take any number
        """Why rounds that ask so many clients cannot be averaged; None where they can."""
        return None

    @abstractmethod
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        """What the server knows after a round.

        Args:
            before: what it knew; `common` of round 0 is the adapter that all clients draw from
                the run's seed, its head zero.
            sent: n adapters of one base model and one set of layers, in the order of their
                clients, so that the sum is the same whatever the order of answers. Parts that did
                not travel are those of `before`.
            weights: n non-negative weights; only their ratios matter.
            controls: what each client's control variate changed by, where the duty asks for it.

        Raises:
            FedloraError: the weights are all zero, or the method cannot mix what it was given.
        """

    def give(self, state: State, spec: AdapterSpec) -> LoraAdapter:
        """The adapter that a client of these ranks goes on from."""
        return resize(state.common, spec)


def effective(common: LoraAdapter, folds: Sequence[LoraAdapter], spec: AdapterSpec) -> LoraAdapter:
    """The adapter nearest to a common one and all that was folded into the base besides.

    Folds have heads of zeros.
    """
    if not folds:
        return resize(common, spec)
    return AdapterSpan([common, *folds]).combine(torch.ones(1 + len(folds)), spec)


def shares(weights: Sequence[float]) -> list[float]:
    """Weights as shares that add up to one.

    Raises:
        FedloraError: there are none, one is negative, or all are zero.
    """
    total = sum(weights)
    if not weights or min(weights) < 0 or total <= 0:
        raise FedloraError(f"aggregation weights {list(weights)}: at least one must be positive")
    return [weight / total for weight in weights]
