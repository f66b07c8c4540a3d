"""A learning rate for each method, chosen on other tasks than those that are reported."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

from fedlora.bench.comm.cases import FULL, MIXED, ONE_RANK, SMALLEST, Case, Rates, Table
from fedlora.bench.comm.families import Family

Row = dict[str, Any]

TIMES = (1 / 3, 1.0, 3.0)
"""Of the family's rate; those that are tried."""
SEED = 1000
"""Of the federations that a rate is chosen by."""
LAST = 2
"""Points at the end of a curve whose mean decides: one alone wobbles."""

CHOSEN_FOR: Mapping[Table, Sequence[str]] = {
    "mixed": (*MIXED, SMALLEST),
    "one rank": ONE_RANK,
    "full": (FULL,),
}


def trials(family: Family) -> list[Case]:
    """One federation a method and rate."""
    return [
        Case(family, table, what, SEED, times, elsewhere=True)
        for table, names in CHOSEN_FOR.items()
        for what in names
        for times in TIMES
    ]


def worth(row: Row) -> float:
    """Of a federation, by its end."""
    return mean(float(point["value"]) for point in row["points"][-LAST:])


def choose(lived: Sequence[tuple[Case, Row]]) -> Rates:
    """The best rate of each method; of equal ones the smallest."""
    best: dict[tuple[Table, str], tuple[float, float]] = {}
    for case, row in sorted(lived, key=lambda pair: pair[0].times):
        method, value = (case.table, case.what), worth(row)
        if method not in best or value > best[method][0]:
            best[method] = value, case.times
    return {method: times for method, (_, times) in best.items()}


def rate_rows(family: Family, lived: Sequence[tuple[Case, Row]], rates: Rates) -> Iterator[Row]:
    """One row a method: what each rate came to, and which was taken."""
    sign = -1 if family.metric == "nll" else 1
    for (table, what), times in rates.items():
        own = [(c.times, worth(row)) for c, row in lived if (c.table, c.what) == (table, what)]
        yield {
            "table": "rate",
            "family": family.name,
            "of": table,
            "name": what,
            **{f"x {tried:.2g}": sign * value for tried, value in sorted(own)},
            "taken": f"x {times:.2g}",
        }
