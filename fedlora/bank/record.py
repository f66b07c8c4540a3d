"""What the bank knows about an adapter besides its values."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fedlora.errors import FedloraError
from fedlora.roster import LONGEST_TASK

IMPORTED = -1
"""The client that adapters from outside are booked under: nobody's index."""


@dataclass(frozen=True)
class Record:
    """Where an adapter comes from; (task, client, round, sample, rank) is unique in a bank.

    task: any text; it is data, never a path.
    sample: which of the adapters of one rank that one client sent in one round.
    rank: the largest rank of its layers.
    seed: the seed it was trained with.
    metrics: finite numbers by name.
    """

    task: str
    client: int
    round: int
    sample: int
    rank: int
    seed: int
    metrics: Mapping[str, float]

    def __post_init__(self) -> None:
        if not _is_text(self.task) or not 1 <= len(self.task) <= LONGEST_TASK:
            raise FedloraError(
                f"task name {self.task!a:.80} is not text of 1 to {LONGEST_TASK} characters"
            )
        for name in ("client", "round", "sample", "rank", "seed"):
            value = getattr(self, name)
            if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
                raise FedloraError(f"{name}={value!a:.80} is not an integer of 64 bits")
        if self.round < 0 or self.sample < 0 or self.rank < 1:
            raise FedloraError(
                f"round {self.round}, sample {self.sample}, rank {self.rank}: no such adapter"
            )
        if not isinstance(self.metrics, Mapping):
            raise FedloraError(f"metrics {self.metrics!a:.80} are not numbers by name")
        for name, value in self.metrics.items():
            if not _is_text(name) or not _is_finite(value):
                raise FedloraError(f"metric {name!a:.80} is not a finite number: {value!a:.80}")

    @property
    def key(self) -> tuple[str, int, int, int, int]:
        """What makes the record unique, and gives the bank its order."""
        return self.task, self.client, self.round, self.sample, self.rank


@dataclass(frozen=True)
class StoredRecord(Record):
    """A record in the bank; `digest` names its adapter."""

    digest: str


def with_free_sample(
    record: Record, held: Mapping[tuple[str, int, int, int, int], str], digest: str
) -> Record:
    """The record, or with the first sample under which no other adapter is held.

    held: digests by key.
    """
    samples = itertools.chain([record.sample], itertools.count())
    records = (replace(record, sample=sample) for sample in samples)
    return next(one for one in records if held.get(one.key, digest) == digest)


def _is_text(value: Any) -> bool:
    """Whether a value is text that UTF-8 can hold."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # a whole number with hundreds of digits
        return False
