"""How many of a round's clients a robust method takes for attackers, if it can bear so many."""

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import Aggregator, State, shares
from fedlora.errors import FedloraError
from fedlora.section import Section


class SuspectsConfig(Section):
    """share: of the clients that a round asks, rounded down, that may attack; a round in which that
    is nobody is taken as it comes.
    """

    share: float = Field(0.2, ge=0, lt=0.5)


def counted(
    sent: Sequence[LoraAdapter], weights: Sequence[float]
) -> tuple[list[LoraAdapter], list[float]]:
    """The adapters whose weights are positive, and these as shares that add up to one.

    Raises:
        FedloraError: no weight is positive, or one is negative.
    """
    pairs = [(a, w) for a, w in zip(sent, shares(weights), strict=True) if w > 0]
    return [adapter for adapter, _ in pairs], [weight for _, weight in pairs]


class TooFewAnswersError(FedloraError):
    """A round whose answers are too few to bear as many attackers as it may have asked."""


class Suspicious(Aggregator):
    """A method that takes some of a round's clients for attackers.

    title: its name. bears: (a, b), where f attackers need n >= a f + b clients.
    """

    title: ClassVar[str]
    bears: ClassVar[tuple[int, int]]

    @override
    def misfit(self, asked: int) -> str | None:
        attackers = at_most(self.config.share, asked)
        if not attackers or asked >= self._least(attackers):
            return None
        return (
            f"warm_start.aggregation.share={self.config.share:g}: {self._needs(attackers)}, not"
            f" n={asked}; lower it, or have more clients in a round"
        )

    def attackers(self, before: State, clients: int) -> int:
        """f, how many of n clients may attack.

        A share of those that were asked: it is honest ones that give no answer, and honest ones
        that screening may have refused.

        Args:
            before: what the server knew; how many it asked.
            clients: n, those that count in the round.

        Raises:
            TooFewAnswersError: the round has too few answers for f.
            FedloraError: it would have too few if all answered.
        """
        asked = max(before.asked, clients)
        if misfit := self.misfit(asked):
            raise FedloraError(misfit)
        attackers = at_most(self.config.share, asked)
        if attackers and clients < self._least(attackers):
            raise TooFewAnswersError(f"{self._needs(attackers)}, and n={clients} answers count")
        return attackers

    def _least(self, attackers: int) -> int:
        times, plus = self.bears
        return times * attackers + plus

    def _needs(self, attackers: int) -> str:
        times, plus = self.bears
        least = self._least(attackers)
        return (
            f"'{self.title}' bears f={attackers} attackers only where n >= {times}f+{plus}={least}"
        )


def at_most(share: float, count: int) -> int:
    """A share of a count, rounded down; .29 * 100, which is a little less than 29, is 29."""
    return math.floor(share * count + 1e-9)
