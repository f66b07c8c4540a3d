"""Claims G1, G2, G4 and G5 of a family, from the rows of its newcomers."""

from collections.abc import Mapping, Sequence

from fedlora.bench.claims import Sense, interval_claim
from fedlora.bench.generator.families import FEW, Family
from fedlora.bench.generator.quality import CHOSEN, RETRIEVAL, after
from fedlora.bench.generator.shares import Row, ahead, closed, has_gap
from fedlora.bench.generator.ways import GROWN, MANY, OURS, equals_at, rivals_at
from fedlora.results import Claim

MARGIN = 0.05
"""Of the gap, that a generator is to close more than retrieval (G2)."""
HARM = 0.01
"""Of the gap, that the adoption policy may lose to its rivals where it does not win (G4)."""
NEAR = 0.03
"""Of the gap, that the many labels may leave to local training on the whole shard (G4)."""
APART = 0.5
"""How new a generated adapter is to be, where the bank's adapters are as new as 1 to each other."""
OUTSIDE = ", one step outside the bank's range"
GENERATED = ("kriging", "cvae", CHOSEN)
"""What claims are made for, beside what has grown."""


def family_claims(
    family: Family, rows: Sequence[Row], nearest: Mapping[str, Sequence[float]]
) -> list[Claim]:
    """All of a family.

    None where local training gains too little for shares to mean anything.

    rows: of newcomers of all banks.
    nearest: by method, how far its adapters are from the bank's nearest, a mean a bank.
    """
    inside, outside = ([row for row in rows if row["inside"] is there] for there in (True, False))
    if not has_gap(inside):
        return []
    same = {
        name: [named for m in RETRIEVAL if (named := after(m, way)) in rows[0]]
        for way in family.growth
        for name in (way, after("kriging", way), after(CHOSEN, way))
    }
    ways = (*GENERATED, *same)
    heard = [way for way in ways if f"{way}, shuffled" in rows[0]]
    return [
        *(claim for way in ways for claim in _closed(family, way, rows)),
        *(claim for way in ways for claim in _beyond(family, way, inside, RETRIEVAL)),
        *(claim for way, names in same.items() for claim in _beyond(family, way, inside, names)),
        *(claim for way in ways for claim in _beyond(family, way, outside, RETRIEVAL, OUTSIDE)),
        *_with_labels(family, rows),
        *(claim for way in heard for claim in _listening(family, way, inside, nearest)),
    ]


def _closed(family: Family, way: str, rows: Sequence[Row]) -> list[Claim]:
    """G1, in range and out of it; beyond the grid the number is told, and anything is enough."""
    what = f"{family.name}: share of the gap that {way} closes"
    parts = [("", True, family.target), (OUTSIDE, False, 0.0)]
    return [
        of_gap("G1", what + where, ahead(part, way, "base"), ">=", target)
        for where, inside, target in parts
        if has_gap(part := [row for row in rows if row["inside"] == inside])
    ]


def _beyond(
    family: Family, way: str, rows: Sequence[Row], rivals: Sequence[str], where: str = ""
) -> list[Claim]:
    """G2: beside the rival that closes most of the gap on these very rows; by how much, and surely.

    None where the rows have no gap.
    """
    if not has_gap(rows):
        return []
    best = max(rivals, key=lambda method: closed(rows, method))
    what = f"{family.name}: {way} beyond {best}, the best retrieval in hindsight{where}"
    more = ahead(rows, way, best)
    return [of_gap("G2", what, more, ">=", MARGIN), of_gap("G2", what, more, ">=", 0.0, True)]


def _with_labels(family: Family, rows: Sequence[Row]) -> list[Claim]:
    claims = []
    for count in (count for count in (FEW, MANY) if count in family.labels):
        what, own = f"{family.name}, {count} labels: {OURS} beyond", f"{OURS} at {count}"
        others = [*rivals_at(count), *(after(r, GROWN) for r in equals_at(count))]
        for rival in others:
            more = ahead(rows, own, f"{rival} at {count}")
            claims += [
                of_gap("G4", f"{what} {rival}", more, ">=", target, True) for target in (0.0, -HARM)
            ]
        blind = after(CHOSEN, GROWN)
        more = ahead(rows, own, blind)
        claims.append(of_gap("G4", f"{what} no labels, {blind}", more, ">=", -HARM, True))
        if count == MANY:
            size = family.tasks["splits"]["train"]
            whole = f"{what} local training on the whole shard of {size}"
            claims.append(of_gap("G4", whole, ahead(rows, own, "local"), ">=", -NEAR))
    return claims


def _listening(
    family: Family, way: str, rows: Sequence[Row], nearest: Mapping[str, Sequence[float]]
) -> list[Claim]:
    """G5: another task's condition is worth no more than the mean, and what is made is no copy."""
    what = f"{family.name}: {way}, shuffled, beyond the bank's mean"
    copied = f"{family.name}: distance of {way} to the bank's nearest, in the bank's own"
    return [
        of_gap("G5", what, ahead(rows, f"{way}, shuffled", "mean"), "<=", 0.0),
        interval_claim("G5", f"{copied} (a copy has 0)", nearest[way], ">=", APART),
    ]


def of_gap(
    name: str,
    what: str,
    values: Sequence[float],
    sense: Sense,
    target: float,
    surely: bool = False,
) -> Claim:
    """A claim on a mean over tasks, as a share of the gap."""
    return interval_claim(name, what, values, sense, target, "of the gap", surely)
