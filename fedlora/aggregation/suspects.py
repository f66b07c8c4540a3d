"""How many of a round's clients a robust method takes for attackers, if it can bear so many."""

import math
from collections.abc import Sequence

from pydantic import Field

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import shares
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


def suspected(
    config: SuspectsConfig, asked: int, clients: int, method: str, times: int, plus: int
) -> int:
    """f, how many of n clients may attack: a share of those asked, since attackers always answer.

    Args:
        config: of the method.
        asked: how many the round asked; as many as answered where that is more.
        clients: n, those that count in the round.
        method: its name, for the error.
        times: with `plus`, the fewest clients among which it bears f: times f + plus.
        plus: see `times`.

    Raises:
        FedloraError: the round has too few clients for f.
    """
    attackers = math.floor(
        config.share * max(asked, clients) + 1e-9
    )  # .29 * 100 is a little less than 29
    least = times * attackers + plus
    if attackers and clients < least:
        raise FedloraError(
            f"warm_start.aggregation.share={config.share:g}: '{method}' bears f={attackers} of"
            f" n={clients} clients that answer only where n >= {times}f+{plus}={least};"
            " lower it, or have more clients in a round"
        )
    return attackers
