"""How many of a round's clients a robust method takes for attackers, if it can bear so many."""

import math
from collections.abc import Sequence

from pydantic import Field

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import State, shares
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


def suspected(
    config: SuspectsConfig, before: State, clients: int, method: str, times: int, plus: int
) -> int:
    """f, how many of n clients may attack.

    A share of those that were asked, since it is honest ones that give no answer, without those
    that were refused.

    Args:
        config: of the method.
        before: what the server knew; how many it asked and refused.
        clients: n, those that count in the round.
        method: its name, for the error.
        times: with `plus`, the fewest clients among which it bears f: times f + plus.
        plus: see `times`.

    Raises:
        TooFewAnswersError: the round has too few answers for f.
        FedloraError: it would have too few if all answered.
    """
    asked = max(before.asked, clients)
    attackers = max(0, at_most(config.share, asked) - before.refused)
    least = times * attackers + plus
    if not attackers or clients >= least:
        return attackers
    needs = f"bears f={attackers} attackers only where n >= {times}f+{plus}={least}"
    if asked >= times * at_most(config.share, asked) + plus:
        raise TooFewAnswersError(f"'{method}' {needs}, and n={clients} answers count")
    raise FedloraError(
        f"warm_start.aggregation.share={config.share:g}: '{method}' {needs}, not n={asked};"
        " lower it, or have more clients in a round"
    )


def at_most(share: float, count: int) -> int:
    """A share of a count, rounded down; .29 * 100, which is a little less than 29, is 29."""
    return math.floor(share * count + 1e-9)
