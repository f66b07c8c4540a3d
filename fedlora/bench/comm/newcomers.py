"""Claim A5: what a newcomer's bytes buy, generated against federated averaging."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from fedlora.bench.claims import interval_claim, plain_claim, without_value
from fedlora.bench.comm.cases import PLAIN
from fedlora.bench.comm.curve import Point, first_at
from fedlora.bench.comm.families import Family
from fedlora.evaluation.table import Interval, interval
from fedlora.results import Claim

Row = dict[str, Any]

AVERAGE = "federated average, downloaded"
GENERATED = "generated"
AT_HOME = "that, and trained at home"
TIMES_FEWER = 20.0
SAME = (
    "{}: bytes of FedAvg for the same, taking part or downloading its average, without training at"
    " home, by its cheapest codec, as a multiple of a served newcomer's"
)
AT_HOME_TOO = (
    "{}: bytes of FedAvg's average, downloaded and trained at home on the newcomer's own labels, as"
    " a multiple of a served newcomer's, who has none"
)

Route = Mapping[str, Sequence[Row]]
"""By codec, the rows of all seeds, as `route.live_route` gives them."""


@dataclass(frozen=True)
class Rival:
    """Federated averaging, by one codec and in one seed, until it serves as well as generating.

    spent: bytes of one newcomer. there: whether they were enough. served: bytes of one that is
        served a generated adapter by the same codec.
    """

    spent: float
    there: bool
    served: float

    @classmethod
    def of(cls, row: Row) -> "Rival":
        """The cheapest of its ways; where none gets there, all the bytes that it has spent."""
        served, points = row["served"], [Point(**point) for point in row["points"]]
        goal, own = served["values"]["generated"], served["up"] + served["down"]
        enough = [served["adapter"]] if max(row["downloads"]) >= goal else []
        there = first_at(points, goal)
        enough += [there.bytes] if there else []
        return cls(min(enough or [points[-1].bytes]), bool(enough), own)


def newcomer_rows(family: Family, route: Route) -> list[Row]:
    """One row a way and codec: what newcomers reach, and what one of them sends and gets for it.

    `kB of the bank` is what the clients before them have spent on what they are given, once. What
    a newcomer trains at home, and the base model, stand once.
    """
    return [row for codec, lived in route.items() for row in _ways(family, codec, lived)]


def _ways(family: Family, codec: str, lived: Sequence[Row]) -> list[Row]:
    sign = -1 if family.metric == "nll" else 1
    ways: dict[str, tuple[str, str | None, str | None]] = {
        "base model": ("base", None, None),
        AVERAGE: ("warm", None, "adapter"),
        GENERATED: ("generated", "up", "down"),
        AT_HOME: ("local", None, "adapter"),
    }
    by = "" if codec == PLAIN else f", {codec}"
    rows = []
    for name, (value, up, down) in ways.items():
        if by and name not in (AVERAGE, GENERATED):
            continue
        served = [row["served"] for row in lived]
        found = interval([sign * one["values"][value] for one in served])
        sizes = [mean(one[key] for one in served) if key else 0 for key in (up, down)]
        bank = mean(one["bank"] for one in served) if name == GENERATED else None
        rows.append(_row(family, name + by, found, sizes, bank))
    ends = [Point(**row["points"][-1]) for row in lived]
    sizes = [mean(getattr(end, way) for end in ends) for way in ("up", "down")]
    taking_part = interval([sign * end.value for end in ends])
    last = interval([sign * row["downloads"][-1] for row in lived])
    adapter = mean(row["served"]["adapter"] for row in lived)
    rounds = f"{ends[0].rounds} rounds{by}"
    return [
        *rows,
        _row(family, f"{AVERAGE} after {rounds}", last, [0, adapter]),
        _row(family, f"in {ends[0].rounds} rounds of FedAvg{by}", taking_part, sizes),
    ]


def newcomer_claim(family: Family, route: Route) -> Claim:
    """How many times the bytes of the generated adapter the rival needs for the same value.

    The rival takes part in the rounds from the first one on, or downloads what they came to without
    it after any of them: whichever is cheapest, by the codec by which that is; training at home,
    which needs labels and no federation beyond that average, is not one. What is generated comes by
    the same codec. A seed in which the rival gets there by no codec counts with all the bytes that
    it has spent, which is too few: the claim says in how many that was.
    """
    rivals = [
        min(map(Rival.of, same), key=lambda rival: (not rival.there, rival.spent))
        for same in zip(*route.values(), strict=True)
    ]
    short = sum(not rival.there for rival in rivals)
    ratios = [rival.spent / rival.served for rival in rivals]
    what = SAME.format(family.name)
    if short:
        what += f" (a lower bound: {short} of {len(rivals)} seeds never got there)"
    return interval_claim("A5", what, ratios, ">=", TIMES_FEWER, surely=True)


def home_claim(family: Family, route: Route) -> Claim:
    """The same where newcomers have labels enough to train on: one adapter down is all they need.

    A seed in which that is worth less than what is generated has no multiple.
    """
    ratios = []
    for row in route[PLAIN]:
        served = row["served"]
        if served["values"]["local"] >= served["values"]["generated"]:
            ratios.append(served["adapter"] / (served["up"] + served["down"]))
    what = AT_HOME_TOO.format(family.name)
    if not ratios:
        claim = plain_claim("A5", what, 0, ">=", TIMES_FEWER)
        return without_value(claim, "what is trained at home is worth less in every seed")
    return interval_claim("A5", what, ratios, ">=", TIMES_FEWER, surely=True)


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
