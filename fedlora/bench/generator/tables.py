"""The rows of results/generator.json: every method on every newcomer, and what they add up to."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedlora.bench.generator.families import Family
from fedlora.bench.generator.quality import RETRIEVAL, after
from fedlora.bench.generator.shares import ahead, closed, has_gap
from fedlora.bench.generator.ways import GROWN, LORA, LORA_LONGER, OURS
from fedlora.evaluation.table import interval

Row = dict[str, Any]
FACTS = ("seed", "task", "inside")
"""Columns of a newcomer's row that are no method's."""
TOLD = ("top-1", "top-3")
"""Ways to retrieve that a table tells, beside the best of each bank in hindsight."""
COSTS = ("fit seconds", "generation seconds", "vector seconds", "vector bytes", "seconds")
"""Of what is measured on a curve; `seconds` is a newcomer's own work."""


def newcomers(cases: Mapping[int, Mapping[str, Any]]) -> list[Row]:
    """The newcomers of all banks, by the banks' seeds."""
    return [{"seed": seed, **row} for seed, case in cases.items() for row in case["newcomers"]]


def method_rows(family: Family, cases: Mapping[int, Mapping[str, Any]]) -> list[Row]:
    """One row a method and range: its mean and interval over tasks, its worst bank, its cost."""
    rows, found = newcomers(cases), list[Row]()
    methods = [name for name in rows[0] if name not in FACTS]
    others = [set(names) - {RETRIEVAL[0], *TOLD} for names in _retrieved(family, rows[0])]
    for where, inside in (("inside", True), ("outside", False)):
        part = [row for row in rows if row["inside"] == inside]
        if has_gap(part):
            best = {max(names, key=lambda name: closed(part, name)) for names in others if names}
            hidden = set().union(*others) - best
            told = [method for method in methods if method not in hidden]
            found += [_method(family, cases, method, where, part) for method in told]
    return found


def _retrieved(family: Family, row: Row) -> list[list[str]]:
    """Ways to retrieve that are there, from the plain bank and from each that has grown."""
    sides = [RETRIEVAL, *([after(m, way) for m in RETRIEVAL] for way in family.growth)]
    return [[name for name in names if name in row] for names in sides]


def bank_rows(family: Family, cases: Mapping[int, Mapping[str, Any]]) -> list[Row]:
    """Of each bank who won its trial, how what is made changes between tasks, whom the guard stops.

    foreign: the share of newcomers inside and outside the bank's range that the guard calls so.
    """
    found: dict[str, list[Row]] = {"trials": [], "walks": [], "guard": []}
    for seed, case in cases.items():
        found["trials"].append({"seed": seed, **case["chosen"]})
        for method, walk in case["walks"].items():
            found["walks"].append({"seed": seed, "method": method, **walk})
        called = list(zip(case["newcomers"], case["foreign"], strict=True))
        for where, inside in (("inside", True), ("outside", False)):
            there = [foreign for newcomer, foreign in called if newcomer["inside"] == inside]
            if there:
                row = {"newcomers": len(there), "foreign": sum(there) / len(there)}
                found["guard"].append({"seed": seed, "where": where, **row})
    return [
        {"table": table, "family": family.name, **row}
        for table, rows in found.items()
        for row in rows
    ]


def curve_rows(family: Family, cases: Mapping[int, Mapping[str, Any]]) -> list[Row]:
    """One row a point of a curve: the share of the gap, and seconds; none without curves."""
    if not family.curves:
        return []
    return [*_label_rows(family, cases), *_measured_rows(family, cases)]


def _label_rows(family: Family, cases: Mapping[int, Mapping[str, Any]]) -> list[Row]:
    """Mixing and training by the number of labels; without any it is what kriging makes."""
    inside = [row for row in newcomers(cases) if row["inside"]]
    points = [(OURS, 0, after("kriging", GROWN)), (LORA, 0, "warm")]
    points += [(p, n, f"{p} at {n}") for n in family.labels for p in (OURS, LORA, LORA_LONGER)]
    return [
        _point(family, "labels", name, at)
        | share_of(inside, method)
        | means_of([case["methods"].get(method, {}) for case in cases.values()], COSTS)
        for name, at, method in points
    ]


def _measured_rows(family: Family, cases: Mapping[int, Mapping[str, Any]]) -> list[Row]:
    points: dict[tuple[Any, ...], list[Row]] = {}
    for seed, case in cases.items():
        for point in case["curves"]:
            key = point["curve"], point["method"], point["at"]
            points.setdefault(key, []).append(point | {"seed": seed})
    rows = []
    for (curve, method, at), found in points.items():
        known = [
            {**row, "here": value}
            for point in found
            for row, value in zip(cases[point["seed"]]["newcomers"], point["values"], strict=True)
            if row["inside"]
        ]
        taken = share_of(known, "here") | means_of(found, COSTS)
        rows.append(_point(family, curve, method, at) | taken)
    return rows


def _point(family: Family, curve: str, method: str, at: int | str) -> Row:
    facts = {"curve": curve, "method": method, "at": at}
    return {"table": "curve", "family": family.name, **facts}


def _method(
    family: Family, cases: Mapping[int, Mapping[str, Any]], method: str, where: str,
    rows: Sequence[Row],
) -> Row:  # fmt: skip
    banks = [[row for row in rows if row["seed"] == seed] for seed in cases]
    shares = [closed(bank, method) for bank in banks]
    costs = [case["methods"].get(method, {}) for case in cases.values()]
    likeness = [case["copies"].get(method, {}) for case in cases.values()]
    return {
        "table": "methods",
        "family": family.name,
        "where": where,
        "method": method,
        "value": sum(row[method] for row in rows) / len(rows),
        **share_of(rows, method),
        "worst bank": min(shares),
        "best bank": max(shares),
        **means_of(likeness, ("nearest", "norm", "rank")),
        **means_of(costs, ("fit seconds", "stored", "seconds", "refined", "up", "down")),
    }


def share_of(rows: Sequence[Row], method: str) -> Row:
    """The share of the gap that a method closes, its interval, and over how many tasks."""
    found = interval(ahead(rows, method, "base"))
    return {"gap": found.mean, "low": found.low, "high": found.high, "tasks": found.n}


def means_of(found: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Row:
    """Means over banks; None for what does not apply."""
    there = {n: [one[n] for one in found if one.get(n) is not None] for n in names}
    return {name: sum(v) / len(v) if v else None for name, v in there.items()}
