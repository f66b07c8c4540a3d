"""Claim A5: what a newcomer's bytes buy, generated against federated averaging."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from fedlora.bench.claims import interval_claim
from fedlora.bench.comm.curve import Point, first_at
from fedlora.bench.comm.families import Family
from fedlora.evaluation.table import Interval, interval
from fedlora.results import Claim

Row = dict[str, Any]

AVERAGE = "federated average, downloaded"
GENERATED = "generated"
AT_HOME = "that, and trained at home"
TIMES_FEWER = 20.0


def newcomer_rows(family: Family, lived: Sequence[Row]) -> list[Row]:
    """One row a way: what newcomers reach, and what one of them sends and gets for it.

    `kB of the bank` is what the clients before them have spent on what they are given, once.
    """
    sign = -1 if family.metric == "nll" else 1
    ways: dict[str, tuple[str, str | None, str | None]] = {
        "base model": ("base", None, None),
        AVERAGE: ("warm", None, "adapter"),
        GENERATED: ("generated", "up", "down"),
        AT_HOME: ("local", None, "adapter"),
    }
    rows = []
    for name, (value, up, down) in ways.items():
        served = [row["served"] for row in lived]
        found = interval([sign * one["values"][value] for one in served])
        sizes = [mean(one[key] for one in served) if key else 0 for key in (up, down)]
        bank = mean(one["bank"] for one in served) if name == GENERATED else None
        rows.append(_row(family, name, found, sizes, bank))
    ends = [Point(**row["points"][-1]) for row in lived]
    sizes = [mean(getattr(end, way) for end in ends) for way in ("up", "down")]
    name = f"in {ends[0].rounds} rounds of FedAvg"
    return [*rows, _row(family, name, interval([sign * end.value for end in ends]), sizes)]


def newcomer_claim(family: Family, lived: Sequence[Row]) -> Claim:
    """How many times the bytes of the generated adapter the rival needs for the same value.

    The rival is the cheaper of two: to take part in the rounds from the first one on, and to
    download their average; training at home, which needs labels and no federation beyond that
    average, is not one. A seed in which neither gets there counts with all the bytes that it
    has spent, which is too few: the claim says in how many that was.
    """
    pairs = [_needed(row) for row in lived]
    short = sum(not there for _, there in pairs)
    ratios = [
        needed / (row["served"]["up"] + row["served"]["down"])
        for (needed, _), row in zip(pairs, lived, strict=True)
    ]
    what = f"{family.name}: bytes of FedAvg for the same, as a multiple of a served newcomer's"
    if short:
        what += f" (a lower bound: {short} of {len(lived)} seeds never got there)"
    return interval_claim("A5", what, ratios, ">=", TIMES_FEWER)


def _needed(row: Row) -> tuple[float, bool]:
    """Bytes of the rival, and whether they were enough."""
    served, points = row["served"], [Point(**point) for point in row["points"]]
    goal = served["values"]["generated"]
    enough = [served["adapter"]] if served["values"]["warm"] >= goal else []
    there = first_at(points, goal)
    enough += [there.bytes] if there else []
    return (min(enough), True) if enough else (points[-1].bytes, False)


def _row(
    family: Family, name: str, found: Interval, sizes: Sequence[float], bank: float | None = None
) -> Row:
    up, down = sizes
    return {
        "table": "newcomer",
        "family": family.name,
        "name": name,
        "metric": family.metric,
        "value": found.mean,
        "low": found.low,
        "high": found.high,
        "kB up": up / 1e3,
        "kB down": down / 1e3,
        "kB of the bank": None if bank is None else bank / 1e3,
        "seeds": found.n,
    }
