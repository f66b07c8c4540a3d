"""Means with 95% intervals, and the honest comparison of two methods on the same tasks."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np

from fedlora.evaluation import table
from fedlora.report.results import Interval, MethodSummary, Results, Row


def interval(values: Sequence[float]) -> Interval:
    """The table's own interval; one of no values is empty."""
    return Interval(**asdict(table.interval(list(values)))) if values else Interval()


def summary(results: Results) -> list[MethodSummary]:
    """The run's own summary; for a run that has not written one yet, from the rows so far.

    Seeds and clients of one task are averaged first, so that n counts independent tasks.
    """
    if results.summary:
        return list(results.summary)
    names = dict.fromkeys(row.method for row in results.rows)
    return [
        MethodSummary(
            method=name,
            value=interval(list(by_task(results, name).values())),
            gap=interval(list(by_task(results, name, "gap").values())),
        )
        for name in names
    ]


def by_task(
    results: Results, method: str, field: Literal["value", "gap"] = "value"
) -> dict[str, float]:
    """The method's mean on each task, over seeds and clients."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in _rows(results, method):
        number = row.value if field == "value" else row.gap
        if number is not None:
            found[row.task].append(number)
    return {task: float(np.mean(values)) for task, values in found.items()}


def advantage(results: Results, method: str, other: str) -> Interval:
    """How much better `method` is than `other`, task by task, in the metric's own unit.

    Positive is better for either sense of the metric. Seeds and clients of one task are
    averaged first, so that n counts tasks.
    """
    mine, theirs = by_task(results, method), by_task(results, other)
    sign = 1.0 if results.higher_is_better else -1.0
    return interval([sign * (mine[task] - theirs[task]) for task in mine if task in theirs])


def best(results: Results, lines: Sequence[MethodSummary]) -> str | None:
    """The name of the line with the best mean; None where no line has one."""
    scored = [(line.value.mean, line.method) for line in lines if line.value.mean is not None]
    if not scored:
        return None
    pick = max if results.higher_is_better else min
    return pick(scored, key=lambda pair: pair[0])[1]


def _rows(results: Results, method: str) -> list[Row]:
    return [row for row in results.rows if row.method == method]
