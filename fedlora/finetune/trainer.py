"""How the jobs of many clients are trained: one after another, or several at once."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from fedlora.config import Training
from fedlora.finetune.batched import Outcome, train_many
from fedlora.finetune.job import Job, Trained
from fedlora.finetune.local import train

LADDER = 4
"""Each group size that `auto` tries is this many times the one before."""

TRIES = 2
"""Timings before a group size is judged: the first may have paid for something else."""


@dataclass(frozen=True)
class Done:
    """What became of a job, and its share of the seconds that its group took."""

    outcome: Outcome
    seconds: float

    def result(self) -> Trained:
        """What the training gave; raises what went wrong instead."""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@dataclass
class Timings:
    """Seconds an example of one shape of work, by the size of the group."""

    of: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def note(self, size: int, seconds: float) -> None:
        """Keep the first few timings of each size."""
        if len(self.of[size]) < TRIES:
            self.of[size].append(seconds)

    def size(self, waiting: int, most: int) -> int:
        """The next group: one more try of a larger size while sizes get faster, or the fastest."""
        best = 1
        for size in _ladder(most):
            if len(self.of[size]) < TRIES:
                return size if size <= waiting else min(best, waiting)
            if min(self.of[size]) > min(self.of[best]):
                break
            best = size
        return min(best, waiting)


class Trainer:
    """Trains jobs on one base model.

    mode: `sequential` trains one job after another; `batched` trains `most` at once; `auto` finds
        out which is faster from the work itself, for each shape of it, and remembers.
    most: jobs trained at once at most; memory for activations grows with it.
    """

    def __init__(self, mode: Training, most: int) -> None:
        self.mode = mode
        self.most = most
        self._timings: dict[object, Timings] = defaultdict(Timings)

    def train(self, jobs: Sequence[Job]) -> list[Done]:
        """Train every job; a fault in one costs the others nothing but time.

        Jobs of the same shape share a group, those with the most steps first, so that a group's
        jobs end at about the same time.
        """
        alike: dict[object, list[int]] = defaultdict(list)
        for number, job in enumerate(jobs):
            alike[_shape(job)].append(number)
        done: dict[int, Done] = {}
        for shape, numbers in alike.items():
            waiting = deque(sorted(numbers, key=lambda number: -jobs[number].steps))
            while waiting:
                size = self._size(shape, len(waiting))
                group = [waiting.popleft() for _ in range(size)]
                done |= zip(group, self._timed(shape, [jobs[n] for n in group]), strict=True)
        return [done[number] for number in range(len(jobs))]

    def _size(self, shape: object, waiting: int) -> int:
        if self.mode == "sequential":
            return 1
        if self.mode == "batched":
            return min(self.most, waiting)
        return self._timings[shape].size(waiting, self.most)

    def _timed(self, shape: object, jobs: Sequence[Job]) -> list[Done]:
        started = time.perf_counter()
        outcomes = _together(jobs) if len(jobs) > 1 else [_alone(jobs[0])]
        seconds = time.perf_counter() - started
        work = [job.examples * job.settings.epochs for job in jobs]
        self._timings[shape].note(len(jobs), seconds / sum(work))
        shares = [seconds * own / sum(work) for own in work]
        return [Done(*pair) for pair in zip(outcomes, shares, strict=True)]


def _together(jobs: Sequence[Job]) -> list[Outcome]:
    try:
        return train_many(jobs)
    except Exception:  # noqa: BLE001 - whoever is at fault fails again, alone
        return [_alone(job) for job in jobs]


def _alone(job: Job) -> Outcome:
    try:
        return train(*job)
    except Exception as error:  # noqa: BLE001 - told to the one who ordered the job
        return error


def _shape(job: Job) -> object:
    """What the speed of a group depends on: batch size and the sizes of a row, texts roughly."""
    sizes = [(name, *map(_rough, column.shape[1:])) for name, column in job.rows.items()]
    return (type(job.objective), job.settings.batch_size, *sizes)


def _rough(size: int) -> int:
    return 16 * math.ceil(size / 16)


def _ladder(most: int) -> list[int]:
    """1, 4, 16, ... and the most itself."""
    sizes = [1]
    while sizes[-1] * LADDER < most:
        sizes.append(sizes[-1] * LADDER)
    return [*sizes, most] if most > 1 else sizes
