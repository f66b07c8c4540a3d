"""Claims A2 and A3, of a family, and what it leaves open where it was not measured."""

from collections.abc import Mapping

from fedlora.bench.claims import interval_claim, plain_claim, without_value
from fedlora.bench.comm.cases import MIXED, SMALLEST
from fedlora.bench.comm.curve import at_bytes
from fedlora.bench.comm.families import Family
from fedlora.bench.comm.newcomers import AT_HOME_TOO, SAME, TIMES_FEWER
from fedlora.bench.comm.tables import Lived, budget_of
from fedlora.results import Claim

COSTS = {"int8": 0.3, "int4": 1.0}
"""Points of accuracy that a codec may cost."""
COST = "{}: accuracy that {} both ways costs"
AHEAD = "{}: {} ahead of {} on mixed ranks"
WINNER = "{}: a winner on mixed ranks at equal bytes"
LATER = "not measured yet"


def codec_claims(family: Family, found: Mapping[str, Lived]) -> list[Claim]:
    """A3, seed by seed; in points, so of accuracies alone."""
    if family.metric != "accuracy":
        return []
    claims = []
    for name, target in COSTS.items():
        pairs = zip(found["none"].last, found[name].last, strict=True)
        lost = [100 * (plain.value - coded.value) for plain, coded in pairs]
        rounds = found[name].last[0].rounds
        what = f"{COST.format(family.name, name)} after {rounds} rounds"
        claims.append(interval_claim("A3", what, lost, "<=", target, "points", surely=True))
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
        what = (
            f"{AHEAD.format(family.name, one, other)} at {budget / 1e6:.2f} MB, {len(lead)} seeds"
        )
        return interval_claim("A2", what, lead, ">=", 0, unit, surely=True)

    # No rank is above `lora.rank`, so that both give every client the same adapter.
    different = [name for name in reached if name != "product" or "flexlora" not in reached]
    first, second = sorted(different, key=lambda name: -sum(reached[name]))[:2]
    lead = ahead(first, second)
    if lead.low is None or lead.low <= 0:
        between = "one seed" if lead.low is None else f"{lead.low:.2f} to {lead.high:.2f}"
        reason = f"nobody wins: {lead.what} by {lead.value:.2f} {unit}, {between}"
        lead = without_value(plain_claim("A2", WINNER.format(family.name), 0, ">=", 0), reason)
    return [lead, *[ahead(name, SMALLEST) for name in found if name != SMALLEST]]


def unmeasured(family: Family) -> list[Claim]:
    """A2, A3 and A5 of a family that was not lived through yet."""
    name = family.name
    leads = [f"{AHEAD.format(name, one, SMALLEST)} at equal bytes" for one in MIXED]
    claims = [plain_claim("A2", what, 0, ">=", 0) for what in (WINNER.format(name), *leads)]
    if family.metric == "accuracy":
        for codec, target in COSTS.items():
            claims.append(plain_claim("A3", COST.format(name, codec), 0, "<=", target, "points"))
    claims += [
        plain_claim("A5", what.format(name), 0, ">=", TIMES_FEWER) for what in (SAME, AT_HOME_TOO)
    ]
    return [without_value(claim, LATER) for claim in claims]
