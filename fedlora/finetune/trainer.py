"""How the jobs of many clients are trained: one after another, or several at once."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from fedlora.config import Training
from fedlora.errors import FedloraError
from fedlora.finetune.batched import GivenUpError, Outcome, train_many
from fedlora.finetune.job import Job, Trained
from fedlora.finetune.local import train
from fedlora.finetune.pace import Pace
from fedlora.finetune.remembered import Remembered, setting

OWN = "trained one by one, not at once: each client's gradients are changed in their own way"


@dataclass(frozen=True)
class Done:
    """What became of a job, and its share of the seconds that its group took.

    remark: why its group did not train at once, for a person; empty where nothing was in the way.
    """

    outcome: Outcome
    seconds: float
    remark: str = ""

    def result(self) -> Trained:
        """What the training gave; raises what went wrong instead."""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Trainer:
    """Trains jobs on one base model.

    mode: `sequential` trains one job after another; `batched` trains `most` at once; `auto` finds
        out which is faster from the work itself, for each shape of it, and keeps to it.
    most: jobs trained at once at most; memory for activations grows with it.
    memory: the file in which `auto` keeps what it found for the next process; None for nowhere.
    """

    def __init__(self, mode: Training, most: int, memory: Path | None = None) -> None:
        self.mode = mode
        self.most = most
        self._remembered = Remembered(memory)
        self._paces: dict[str, Pace] = {}

    def train(self, jobs: Sequence[Job]) -> list[Done]:
        """Train every job; a fault in one costs the others nothing but time.

        Jobs of the same shape share a group, those with the most steps first, so that a group's
        jobs end at about the same time.
        """
        alike: dict[str, list[int]] = defaultdict(list)
        done: dict[int, Done] = {}
        for number, job in enumerate(jobs):
            if job.guide or job.protection:  # what changes there is changed for one client
                alone = _trained([job], None)[0]
                told = OWN if self.mode == "batched" else ""
                done[number] = replace(alone, remark=alone.remark or told)
            else:
                alike[_shape(job)].append(number)
        for shape, numbers in alike.items():
            order = sorted(numbers, key=lambda number: -jobs[number].steps)
            finished = self._train_alike(shape, [jobs[number] for number in order])
            done |= zip(order, finished, strict=True)
        return [done[number] for number in range(len(jobs))]

    def _train_alike(self, shape: str, jobs: Sequence[Job]) -> list[Done]:
        """Train jobs of one shape in groups, in their order."""
        waiting, done = deque(jobs), list[Done]()
        pace = self._pace(shape, jobs[0]) if self.mode == "auto" else None
        settled = pace and pace.settled
        while waiting:
            size = self._size(pace, waiting)
            group = list(islice(waiting, size))
            finished = _trained(group, pace)
            done += finished
            for _ in finished:
                waiting.popleft()
        if pace and pace.settled and not settled:
            self._remembered.keep(self._work(shape, jobs[0]), pace.settled)
        return done

    def _size(self, pace: Pace | None, waiting: deque[Job]) -> int:
        if pace:
            return pace.size(len(waiting), _planned([waiting[0]]), waiting[0].steps)
        return 1 if self.mode == "sequential" else min(self.most, len(waiting))

    def _pace(self, shape: str, job: Job) -> Pace:
        if shape not in self._paces:
            work = self._work(shape, job)
            self._paces[shape] = Pace(self.most, self._remembered.find(work))
        return self._paces[shape]

    def _work(self, shape: str, job: Job) -> str:
        return f"{setting(job.objective.slot)}; {shape}; groups up to {self.most}"


class _Watch:
    """Times one group, and says after each step of a trial whether it should go on."""

    def __init__(self, jobs: Sequence[Job], pace: Pace | None) -> None:
        self._size, self._planned, self._pace = len(jobs), _planned(jobs), pace
        self.examples = 0
        self._clock = _clock(jobs[0].objective.slot.device)
        self._began, self._started = time.perf_counter(), self._clock()

    @property
    def seconds(self) -> float:
        """On the wall, which is what the job's owner is told."""
        return time.perf_counter() - self._began

    @property
    def cost(self) -> float:
        """Seconds that group sizes are compared by."""
        return self._clock() - self._started

    def go_on(self, examples: int) -> bool:
        self.examples += examples
        if self._pace is None:
            return True
        part, rate = self.examples / self._planned, self.cost / self.examples
        return not self._pace.hopeless(self._size, part, rate)


def _clock(device: torch.device) -> Callable[[], float]:
    """Processor time on a CPU, since what other processes take says nothing of group sizes.

    Threads that wait for each other cost none of it, and wait less the larger the group is; so a
    group that saves processor time is faster on the wall as well.
    """
    if device.type != "cpu":
        return time.perf_counter
    return time.thread_time if torch.get_num_threads() == 1 else time.process_time


def _trained(jobs: Sequence[Job], pace: Pace | None) -> list[Done]:
    """A group's outcomes; none of them if it was given up."""
    watch = _Watch(jobs, pace)
    outcomes: list[Outcome] | None = None
    remark = ""
    try:
        outcomes = train_many(jobs, watch.go_on) if len(jobs) > 1 else [_alone(jobs[0])]
    except GivenUpError:
        assert pace is not None
        pace.given_up(len(jobs), watch.cost, watch.examples)
        return []
    except FedloraError as refusal:  # of such a group, now and later
        remark = _plain(refusal)
        if pace:
            pace.refused()
    except Exception as fault:  # noqa: BLE001 - whoever is at fault fails again, alone
        remark = _plain(fault)
        if pace:
            pace.given_up(len(jobs), watch.cost, 0)
    whole = outcomes is not None
    if outcomes is None:  # out here, where no traceback holds the group's memory any more
        remark = f"trained one by one, not at once: {remark}"
        outcomes = [_alone(job) for job in jobs]
    cost, seconds = watch.cost, watch.seconds
    trained = [outcome for outcome in outcomes if isinstance(outcome, Trained)]
    if pace and whole and len(trained) == len(jobs):
        pairs = zip(jobs, trained, strict=True)
        pace.note(len(jobs), cost, sum(job.examples * len(t.curve) for job, t in pairs))
    planned = _planned(jobs)
    shares = [seconds * _planned([job]) / planned for job in jobs]
    return [Done(*pair, remark) for pair in zip(outcomes, shares, strict=True)]


def _plain(fault: Exception) -> str:
    """One line of ASCII, whatever it holds."""
    return " ".join(str(fault).split())[:200].encode("ascii", "backslashreplace").decode()


def _alone(job: Job) -> Outcome:
    try:
        return train(*job)
    except Exception as error:  # noqa: BLE001 - told to the one who ordered the job
        return error


def _planned(jobs: Sequence[Job]) -> int:
    """Examples that the jobs train on if nothing stops them early, epochs counted."""
    return sum(job.examples * job.settings.epochs for job in jobs)


def _shape(job: Job) -> str:
    """What the speed of a group depends on: batch size and the sizes of a row, texts roughly."""
    sizes = {name: [_rough(size) for size in column.shape[1:]] for name, column in job.rows.items()}
    described = " ".join(f"{name}{sizes[name]}" for name in sorted(sizes))
    return f"{type(job.objective).__name__}, batches of {job.settings.batch_size}, {described}"


def _rough(size: int) -> int:
    return 16 * math.ceil(size / 16)
