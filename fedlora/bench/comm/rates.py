"""A learning rate for each method, chosen on other tasks than those that are reported."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from fedlora.bench.comm.cases import FULL, MIXED, ONE_RANK, SMALLEST, Case, Rates, Table
from fedlora.bench.comm.families import Family

Row = dict[str, Any]

STEP = 3.0
TIMES = (1 / STEP, 1.0, STEP)
"""Of the family's rate; those that are tried first."""
FURTHER = 2
"""Steps beyond these at most, as long as the outermost is the best."""
SEED = 1000
"""Of the federations that a rate is chosen by."""
LAST = 2
"""Points at the end of a curve whose mean decides: one alone wobbles."""

CHOSEN_FOR: Mapping[Table, Sequence[str]] = {
    "mixed": (*MIXED, SMALLEST),
    "one rank": ONE_RANK,
    "full": (FULL,),
}


def tried(
    family: Family, live: Callable[[str, Sequence[Case]], Mapping[str, Row]]
) -> list[tuple[Case, Row]]:
    """One federation a method and rate, and further ones beyond a rate that is best and outermost.

    live: rows of cases by their names, under a title.
    """
    found: list[tuple[Case, Row]] = []
    planned = trials(family)
    for _ in range(1 + FURTHER):
        rows = live(f"{family.name}: learning rates", planned)
        found += [(case, rows[case.name]) for case in planned]
        planned = beyond(found)
        if not planned:
            break
    return found


def trials(family: Family) -> list[Case]:
    """The first of these."""
    return [
        Case(family, table, what, SEED, times, elsewhere=True)
        for table, names in CHOSEN_FOR.items()
        for what in names
        for times in TIMES
    ]


def beyond(lived: Sequence[tuple[Case, Row]]) -> list[Case]:
    """The next rate of each method whose best one is at an end of those that were tried."""
    following = []
    for method, best in choose(lived).items():
        own = [case for case, _ in lived if (case.table, case.what) == method]
        times = [case.times for case in own]
        if best == max(times):
            following.append(replace(own[0], times=best * STEP))
        elif best == min(times):
            following.append(replace(own[0], times=best / STEP))
    return following


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
            "tried": ", ".join(f"x {rate:.2g}: {sign * value:.4g}" for rate, value in sorted(own)),
            "taken": f"x {times:.2g}",
        }
