"""A learning rate for each method, chosen on other tasks than those that are reported."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from fedlora.bench.comm.cases import FULL, MIXED, ONE_RANK, SMALLEST, Case, Rates, Table
from fedlora.bench.comm.curve import Point, at_bytes
from fedlora.bench.comm.families import Family

Row = dict[str, Any]

STEP = 3.0
TIMES = (1 / STEP, 1.0, STEP)
"""Of the family's rate; those that are tried first."""
FURTHER = 2
"""Steps beyond these at most, as long as the outermost is the best."""
SEEDS = (1000, 1001)
"""Of the federations that a rate is chosen by; none that is reported has them."""

CHOSEN_FOR: Mapping[Table, Sequence[str]] = {
    "mixed": (*MIXED, SMALLEST),
    "one rank": ONE_RANK,
    "full": (FULL,),
}


def tried(
    family: Family, live: Callable[[str, Sequence[Case]], Mapping[str, Row]]
) -> list[tuple[Case, Row]]:
    """Federations of each method and rate, and further ones beyond a best rate that is outermost.

    It costs a federation a seed, method and rate: ninety to begin with, beside the 130 that five
    seeds of all codecs and methods take. Half of it is the second seed's: with images about a
    quarter of an hour of two cores.

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
        Case(family, table, what, seed, times, elsewhere=True)
        for table, names in CHOSEN_FOR.items()
        for what in names
        for times in TIMES
        for seed in SEEDS
    ]


def beyond(lived: Sequence[tuple[Case, Row]]) -> list[Case]:
    """The next rate of each method whose best one is at an end of those that were tried."""
    following = []
    for method, best in choose(lived).items():
        own = [case for case, _ in lived if (case.table, case.what) == method]
        times = [case.times for case in own]
        step = STEP if best == max(times) else 1 / STEP if best == min(times) else None
        if step:
            following += [replace(case, times=best * step) for case in own if case.times == best]
    return following


def choose(lived: Sequence[tuple[Case, Row]]) -> Rates:
    """The best rate of each method; of equal ones the smallest."""
    return {
        method: max(sorted(by_rate), key=by_rate.__getitem__)
        for method, by_rate in worths(lived).items()
    }


def worths(lived: Sequence[tuple[Case, Row]]) -> dict[tuple[Table, str], dict[float, float]]:
    """By method and rate, what is reached; a mean over seeds.

    Methods of mixed ranks are compared at equal bytes (A2), so theirs is what they reach for what
    the thriftiest of them has spent in all, by the same rule. It is the end for the others.
    """
    curves = [(case, [Point(**point) for point in row["points"]]) for case, row in lived]
    equal = min((points[-1].bytes for case, points in curves if case.table == "mixed"), default=0)
    found: dict[tuple[Table, str], dict[float, list[float]]] = {}
    for case, points in curves:
        value = at_bytes(points, equal) if case.table == "mixed" else points[-1].value
        found.setdefault((case.table, case.what), {}).setdefault(case.times, []).append(value)
    return {
        method: {times: mean(values) for times, values in by_rate.items()}
        for method, by_rate in found.items()
    }


def rate_rows(family: Family, lived: Sequence[tuple[Case, Row]], rates: Rates) -> Iterator[Row]:
    """One row a method: what each rate came to, and which was taken."""
    sign = -1 if family.metric == "nll" else 1
    reached = worths(lived)
    for (table, what), times in rates.items():
        own = reached[table, what].items()
        yield {
            "table": "rate",
            "family": family.name,
            "of": table,
            "name": what,
            "tried": ", ".join(f"x {rate:.2g}: {sign * value:.4g}" for rate, value in sorted(own)),
            "taken": f"x {times:.2g}",
        }
