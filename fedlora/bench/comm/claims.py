"""Claims A2 and A3, of a family."""

from collections.abc import Mapping

from fedlora.bench.claims import interval_claim
from fedlora.bench.comm.cases import SMALLEST
from fedlora.bench.comm.curve import at_bytes
from fedlora.bench.comm.families import Family
from fedlora.bench.comm.tables import Lived, budget_of
from fedlora.results import Claim

COSTS = {"int8": 0.3, "int4": 1.0}
"""Points of accuracy that a codec may cost."""


def codec_claims(family: Family, found: Mapping[str, Lived]) -> list[Claim]:
    """A3, seed by seed; in points, so of accuracies alone."""
    if family.metric != "accuracy":
        return []
    claims = []
    for name, target in COSTS.items():
        pairs = zip(found["none"].last, found[name].last, strict=True)
        lost = [100 * (plain.value - coded.value) for plain, coded in pairs]
        rounds = found[name].last[0].rounds
        what = f"{family.name}: accuracy that {name} both ways costs after {rounds} rounds"
        claims.append(interval_claim("A3", what, lost, "<=", target, "points"))
    return claims


def mixed_claims(family: Family, found: Mapping[str, Lived]) -> list[Claim]:
    """A2, seed by seed at equal bytes: the winner, and each method beside the smallest rank.

    Nobody wins where the interval of the best one's lead over the next holds zero.
    """
    budget = budget_of(found)
    scale, unit = (100, "points") if family.metric == "accuracy" else (1, "nats a token")
    reached = {
        name: [scale * at_bytes(curve, budget) for curve in lived.curves]
        for name, lived in found.items()
    }

    def ahead(one: str, other: str) -> Claim:
        lead = [a - b for a, b in zip(reached[one], reached[other], strict=True)]
        what = f"{family.name}: {one} ahead of {other} on mixed ranks at {budget / 1e6:.2f} MB"
        return interval_claim("A2", what, lead, ">=", 0, unit)

    first, second = sorted(reached, key=lambda name: -sum(reached[name]))[:2]
    lead = ahead(first, second)
    if lead.low is None or lead.low <= 0:
        between = "one seed" if lead.low is None else f"{lead.low:.2f} to {lead.high:.2f}"
        reason = f"nobody wins: {lead.what} by {lead.value:.2f} {unit}, {between}"
        what = f"{family.name}: a winner on mixed ranks at equal bytes"
        lead = Claim(id="A2", what=what, value=None, sense=">=", target=0, reason=reason)
    return [lead, *[ahead(name, SMALLEST) for name in found if name != SMALLEST]]
