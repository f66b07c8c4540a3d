"""How a bench puts what it measured as a claim."""

from collections.abc import Sequence
from typing import Literal

from fedlora.evaluation.table import interval
from fedlora.results import Claim

Sense = Literal[">=", "<=", "=="]


def plain_claim(
    name: str, what: str, value: float, sense: Sense, target: float, unit: str = ""
) -> Claim:
    """A value that was measured once or is exact."""
    return Claim(id=name, what=what, value=value, unit=unit, sense=sense, target=target)


def without_value(claim: Claim, reason: str) -> Claim:
    """A claim that would prove nothing, and why."""
    return claim.model_copy(update={"value": None, "low": None, "high": None, "reason": reason})


def interval_claim(
    name: str,
    what: str,
    values: Sequence[float],
    sense: Sense,
    target: float,
    unit: str = "",
    surely: bool = False,
) -> Claim:
    """A mean, over seeds or tasks, with its interval."""
    found = interval(list(values))
    return plain_claim(name, what, found.mean, sense, target, unit).model_copy(
        update={"low": found.low, "high": found.high, "surely": surely}
    )
