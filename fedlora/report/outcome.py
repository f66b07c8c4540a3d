"""What came out: the lines of the table, the winners marked whoever they are."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedlora.report import intervals
from fedlora.report.methods import Method, Needs, method, order
from fedlora.report.results import Interval
from fedlora.report.run_folder import RunFolder


@dataclass(frozen=True)
class Line:
    """One method: mean metric and share of the gap over tasks and seeds, and each task's mean.

    best: the best of all methods that ask as much of a newcomer, baselines and controls included.
    """

    method: Method
    value: Interval
    gap: Interval
    tasks: Mapping[str, float]
    task_gaps: Mapping[str, float]
    best: bool


def lines(run: RunFolder) -> list[Line]:
    """In the order of the story; empty until the run has evaluated something."""
    results = run.results
    found = sorted(intervals.summary(results), key=lambda line: order(line.method))
    labels = _few_labels(run)
    kinds = {line.method: method(line.method, labels) for line in found}
    winners = {
        intervals.best(results, [line for line in found if kinds[line.method].needs == needs])
        for needs in Needs
    }
    return [
        Line(
            method=kinds[line.method],
            value=line.value,
            gap=line.gap,
            tasks=intervals.by_task(results, line.method),
            task_gaps=intervals.by_task(results, line.method, "gap"),
            best=line.method in winners,
        )
        for line in found
    ]


def line(of: list[Line], name: str) -> Line | None:
    """The line of one method."""
    return next((found for found in of if found.method.name == name), None)


def strongest_rival(run: RunFolder, of: list[Line]) -> Line | None:
    """The best of the others that need no training, on tasks that the generated adapter has.

    The shuffled condition is no rival: it is the generator itself, misled. Nor is what the trial
    chose: it is one of the others, or the generator.
    """
    generated = line(of, "generated")
    sign = 1.0 if run.results.higher_is_better else -1.0
    scored = [
        (sign * found.value.mean, found)
        for found in of
        if found.method.needs == Needs.NOTHING
        and found.method.name not in ("generated", "shuffled", "chosen")
        and found.value.mean is not None
        and generated is not None
        and set(found.tasks) & set(generated.tasks)
    ]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def _few_labels(run: RunFolder) -> int | None:
    section = run.config.get("evaluation")
    count = section.get("few_labels") if isinstance(section, dict) else None
    return count if isinstance(count, int) else None
