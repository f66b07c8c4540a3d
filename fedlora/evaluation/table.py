"""The table of a run: what each method reaches on each unseen task, and the share of the gap."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Local training that gains less than this has no gap worth a share (accuracy or nats a token).
SMALLEST_GAP = 0.02
# What a newcomer reports beside the adapters it was sent.
LOCAL_METHODS = (
    "base",
    "few_labels",
    "zero_one_epoch",
    "warm_one_epoch",
    "generated_one_epoch",
    "local",
)
# The order of the table: nothing, what the bank offers, what a newcomer could do alone.
METHODS = (
    "base",
    "warm",
    "mean",
    "nearest",
    "topk",
    "ridge",
    "grown",
    "generated",
    "shuffled",
    "few_labels",
    "zero_one_epoch",
    "warm_one_epoch",
    "generated_one_epoch",
    "local",
)


@dataclass(frozen=True)
class Row:
    """One method on one newcomer's task.

    value: accuracy, or nats a token.
    gap: share of the gap closed, (value - base) / (local - base); None where local training
        itself gains less than `SMALLEST_GAP`.
    """

    seed: int
    task: str
    client: int
    method: str
    value: float
    gap: float | None


@dataclass(frozen=True)
class Interval:
    """A mean and its two-sided 95% t-interval over n tasks; a single task has no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Summary:
    """One method over all tasks and seeds."""

    method: str
    value: Interval
    gap: Interval | None


def rows(
    seed: int, task: str, client: int, values: Mapping[str, float], higher_is_better: bool
) -> list[Row]:
    """The rows of one newcomer.

    Args:
        seed: of the run.
        task: its name.
        client: its index.
        values: method -> value; `base` and `local` must be among them.
        higher_is_better: the direction of the metric.
    """
    sign = 1 if higher_is_better else -1
    gap = sign * (values["local"] - values["base"])
    return [
        Row(
            seed,
            task,
            client,
            method,
            value,
            sign * (value - values["base"]) / gap if gap >= SMALLEST_GAP else None,
        )
        for method, value in sorted(values.items(), key=lambda item: _place(item[0]))
    ]


def summarise(table: Iterable[Row]) -> list[Summary]:
    """Every method's mean and interval, in the order in which the methods first appear.

    Seeds of one task are averaged first: they share its data, so they are not independent.
    """
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    gaps: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in table:
        values[row.method][row.task].append(row.value)
        if row.gap is not None:
            gaps[row.method][row.task].append(row.gap)
    return [
        Summary(method, _over_tasks(by_task), _over_tasks(gaps[method]) if gaps[method] else None)
        for method, by_task in values.items()
    ]


def interval(values: list[float]) -> Interval:
    """Mean and 95% t-interval of independent values."""
    n = len(values)
    mean = sum(values) / n
    if n == 1:
        return Interval(mean, None, None, 1)
    spread = (sum((value - mean) ** 2 for value in values) / (n - 1)) ** 0.5
    from scipy import stats  # half a second, which a run should not wait for before it starts

    half = float(stats.t.ppf(0.975, n - 1)) * spread / n**0.5
    return Interval(mean, mean - half, mean + half, n)


def _place(method: str) -> tuple[int, str]:
    return (METHODS.index(method) if method in METHODS else len(METHODS), method)


def _over_tasks(by_task: Mapping[str, list[float]]) -> Interval:
    return interval([sum(values) / len(values) for values in by_task.values()])
