"""Claims A2 and A3, of a family."""

from collections.abc import Mapping

from fedlora.bench.claims import interval_claim
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


def mixed_claim(family: Family, found: Mapping[str, Lived]) -> Claim:
    """A2: the best at equal bytes, and how far it is ahead of the next, seed by seed."""
    budget = budget_of(found)
    reached = {n: [at_bytes(c, budget) for c in lived.curves] for n, lived in found.items()}
    first, second = sorted(reached, key=lambda name: -sum(reached[name]))[:2]
    scale, unit = (100, "points") if family.metric == "accuracy" else (1, "nats a token")
    ahead = [scale * (a - b) for a, b in zip(reached[first], reached[second], strict=True)]
    what = f"{family.name}: {first} ahead of {second} on mixed ranks at {budget / 1e6:.2f} MB"
    return interval_claim("A2", what, ahead, ">=", 0, unit)
