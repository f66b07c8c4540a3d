"""What a stream is judged by, from its matrix of accuracies."""

from collections.abc import Sequence
from dataclasses import dataclass

Matrix = Sequence[Sequence[float | None]]
"""Row t, column i: accuracy on task i after step t; None where the task was not met yet."""


@dataclass(frozen=True)
class Summary:
    """Means over tasks.

    final: accuracy over all tasks after the last step.
    averaged: the mean over steps of the accuracy over the tasks met so far.
    forgetting: how far a task has fallen from its best at an earlier step (Chaudhry et al. 2018,
        arXiv 1801.10112); over tasks met before the last step.
    backward: accuracy at the end minus that right after learning (Lopez-Paz and Ranzato 2017,
        arXiv 1706.08840); negative where tasks are forgotten.
    """

    final: float
    averaged: float
    forgetting: float
    backward: float


def summarise(matrix: Matrix) -> Summary:
    """The summary of a stream of two steps or more that met every task."""
    last = [_known(value) for value in matrix[-1]]
    rows = [[value for value in row if value is not None] for row in matrix]
    histories = [
        [value for row in matrix if (value := row[task]) is not None] for task in range(len(last))
    ]
    earlier = [history for history in histories if len(history) > 1]
    return Summary(
        final=_mean(last),
        averaged=_mean([_mean(row) for row in rows]),
        forgetting=_mean([max(history[:-1]) - history[-1] for history in earlier]),
        backward=_mean([history[-1] - history[0] for history in earlier]),
    )


def _known(value: float | None) -> float:
    assert value is not None, "a stream ends when every task was met"
    return value


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
