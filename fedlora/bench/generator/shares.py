"""Shares of the gap between the base model and local training, over all tasks of a family."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from fedlora.evaluation.table import SMALLEST_GAP

Row = Mapping[str, Any]


def gap(rows: Sequence[Row]) -> float:
    """What local training gains over the base model, a mean."""
    return sum(float(row["local"] - row["base"]) for row in rows) / len(rows)


def has_gap(rows: Sequence[Row]) -> bool:
    """Whether there are rows, and a gap that is worth a share."""
    return bool(rows) and gap(rows) >= SMALLEST_GAP


def ahead(rows: Sequence[Row], one: str, other: str) -> list[float]:
    """By task, how much more of the gap one method closes than another on the same examples.

    The share is the ratio of means, R = mean(d) / mean(g) with d = one - other and
    g = local - base, in which a task counts by its gap and none is left out for having little of
    it. The values are R + (d_i - R g_i) / mean(g): their mean is R, and their spread that of R to
    first order (Cochran 1977, equation 6.13). Beside "base" R is the share closed.

    Banks that drew the same task are averaged first: intervals are over tasks.
    """
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["task"]].append(row)
    tasks = found.values()
    gains = [sum(row[one] - row[other] for row in task) / len(task) for task in tasks]
    gaps = [gap(task) for task in tasks]
    usual = sum(gaps) / len(gaps)
    ratio = sum(gains) / len(gains) / usual
    return [ratio + (gain - ratio * own) / usual for gain, own in zip(gains, gaps, strict=True)]


def closed(rows: Sequence[Row], method: str) -> float:
    """The share of the gap that a method closes."""
    values = ahead(rows, method, "base")
    return sum(values) / len(values)
