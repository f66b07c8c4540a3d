"""From curves to rows: what bytes bought, what they were beside their floor, how long they take."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from fedlora.bench.comm.cases import NAMES, Table
from fedlora.bench.comm.curve import Point, at_bytes, first_at
from fedlora.bench.comm.families import Family
from fedlora.evaluation.table import interval
from fedlora.wire.floor import GIGABIT, HOME, Link

Row = dict[str, Any]

ONE_POINT = 0.01
"""Less than uncompressed averaging reaches in the end is good enough to be the goal."""


@dataclass(frozen=True)
class Lived:
    """All seeds of one name.

    curves: one a seed.
    clients: of the federation.
    floor: fewest bytes of all clients in all rounds, both ways; None where that is not known.
    bits: of a codec, those that it sends of a value, and the fewest that its error could cost.
    """

    curves: Sequence[Sequence[Point]]
    clients: int
    floor: float | None
    bits: Sequence[float | None] = ()

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Lived":
        """From the rows of its seeds."""
        first = rows[0]
        curves = [[Point(**point) for point in row["points"]] for row in rows]
        return cls(curves, first["clients"], first["floor"], first.get("bits", ()))

    @property
    def last(self) -> list[Point]:
        """The end of each curve."""
        return [curve[-1] for curve in self.curves]

    @property
    def mean(self) -> list[Point]:
        """The curve of the means over seeds."""
        return [
            Point(
                rounds=same[0].rounds,
                up=round(mean(p.up for p in same)),
                down=round(mean(p.down for p in same)),
                payload=round(mean(p.payload for p in same)),
                fit=round(mean(p.fit for p in same)),
                slowest_up=round(mean(p.slowest_up for p in same)),
                slowest_down=round(mean(p.slowest_down for p in same)),
                value=mean(p.value for p in same),
            )
            for same in zip(*self.curves, strict=True)
        ]


Everything = Mapping[Table, Mapping[str, Lived]]
"""By table and name."""


def goals_of(plain: Lived) -> list[float]:
    """What others must reach, a seed each: uncompressed federated averaging's end, less a point."""
    return [point.value - ONE_POINT for point in plain.last]


def budget_of(found: Mapping[str, Lived]) -> int:
    """The most bytes that every name of a table has spent."""
    return min(point.bytes for lived in found.values() for point in lived.last)


def rows_of(family: Family, everything: Everything) -> Iterator[Row]:
    """One row a name of every table of rounds."""
    plain = everything["codec"]["none"]
    goals = goals_of(plain)
    for table, found in everything.items():
        # Full fine-tuning is alone in its table: at equal bytes with averaging of adapters.
        budget = budget_of({"none": plain} if table == "full" else found)
        for name in NAMES[table]:
            yield {
                "table": table,
                "family": family.name,
                "name": name,
                **_worth(family, found[name], budget, goals),
                **_cost(found[name]),
                **dict(zip(_BITS, found[name].bits, strict=False)),
                **_to_goal(found[name], goals),
            }


def _worth(family: Family, lived: Lived, budget: int, goals: Sequence[float]) -> Row:
    """Values as the metric has them, also where less is better."""
    sign = -1 if family.metric == "nll" else 1
    final = interval([sign * point.value for point in lived.last])
    equal = interval([sign * at_bytes(curve, budget) for curve in lived.curves])
    return {
        "metric": family.metric,
        "value": final.mean,
        "low": final.low,
        "high": final.high,
        "equal MB": budget / 1e6,
        "at equal bytes": equal.mean,
        "equal low": equal.low,
        "equal high": equal.high,
        "goal": sign * mean(goals),
        "seeds": final.n,
    }


def _cost(lived: Lived) -> Row:
    """Serialised bytes.

    FlowerTune counts the arrays of the messages that train, both ways, in units of 2^20 bytes. The
    floor is that of what a method's clients send and get, exactly in float32: a lossy codec has
    none, and its bits a value stand beside the fewest that its error could cost.
    """
    floor = lived.floor
    rounds = lived.last[0].rounds
    turns = lived.clients * rounds
    up, down = (mean(getattr(point, way) for point in lived.last) for way in ("up", "down"))
    return {
        "up a round": round(up / turns),
        "down a round": round(down / turns),
        "MB": (up + down) / 1e6,
        "payload MB": mean(point.payload for point in lived.last) / 1e6,
        "floor MB": None if floor is None else floor / 1e6,
        "floor / bytes": None if floor is None else floor / (up + down),
        "FlowerTune's MB": mean(point.fit for point in lived.last) / (1 << 20),
        "home link s a round": mean(_seconds(HOME, point) for point in lived.last) / rounds,
        "gigabit s a round": mean(_seconds(GIGABIT, point) for point in lived.last) / rounds,
    }


def _to_goal(lived: Lived, goals: Sequence[float]) -> Row:
    """Means over the seeds; nothing unless every seed reaches its goal."""
    there = [first_at(curve, goal) for curve, goal in zip(lived.curves, goals, strict=True)]
    reached = [point for point in there if point is not None]
    at_goal = f"{len(reached)} of {len(there)}"
    if len(reached) < len(there):
        return {"at the goal": at_goal} | dict.fromkeys((*_BYTES, *_TIMES))
    return {
        "at the goal": at_goal,
        **{what: mean(getattr(p, way) for p in reached) / 1e6 for what, way in _BYTES.items()},
        **{what: mean(_seconds(link, p) for p in reached) for what, link in _TIMES.items()},
    }


_BITS = ("bits a value", "fewest bits a value")
_BYTES = {"MB up to the goal": "up", "MB down to the goal": "down"}
_TIMES = {"home link s to the goal": HOME, "gigabit s to the goal": GIGABIT}


def _seconds(link: Link, point: Point) -> float:
    """Transmission alone, each client on its own link: a round lasts as long as its slowest."""
    rounds = max(point.rounds, 1)
    return rounds * link.seconds(point.slowest_up / rounds, point.slowest_down / rounds)


def front(family: Family, everything: Everything) -> list[Row]:
    """The points that nothing beats with fewer bytes, of all tables: means over seeds."""
    sign = -1 if family.metric == "nll" else 1
    points = [
        (point, table, name)
        for table, found in everything.items()
        for name, lived in found.items()
        for point in lived.mean
    ]
    best, rows = float("-inf"), list[Row]()
    for point, table, name in sorted(points, key=lambda p: (p[0].bytes, -p[0].value)):
        if point.value > best:
            best = point.value
            rows.append(
                {
                    "table": "front",
                    "family": family.name,
                    "of": table,
                    "name": name,
                    "rounds": point.rounds,
                    "MB": point.bytes / 1e6,
                    "value": sign * point.value,
                }
            )
    return rows
