"""What each client of a stream holds: a shard of every task, some of them empty."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from fedlora import seeding
from fedlora.config import RunConfig
from fedlora.continual.stream import StreamTask, size
from fedlora.finetune.objectives import Rows
from fedlora.finetune.objectives.contract import take
from fedlora.tasks.shards import shard


@dataclass(frozen=True)
class Holdings:
    """The stream dealt to `shards.per_task` clients.

    The training rows of all tasks are dealt at once, by their class in the whole stream, so that
    a skewed partition leaves some clients without some tasks. Rows to judge on are dealt evenly.
    """

    config: RunConfig
    tasks: tuple[StreamTask, ...]
    seed: int

    def train(self, client: int, task: int) -> Rows:
        """The client's training rows of a task; maybe none."""
        rows = self._dealt[client][task]
        return take_some(self.tasks[task].train, rows)

    def judged(self, client: int, task: int, split: str) -> Rows:
        """The client's part of a task's `test` or `validation` rows."""
        rows: Rows = getattr(self.tasks[task], split)
        clients = self.config.shards.per_task
        return take_some(rows, np.arange(client, size(rows), clients))

    @cached_property
    def _dealt(self) -> list[list[np.ndarray]]:
        """Row numbers by client and task."""
        sizes = [size(task.train) for task in self.tasks]
        offsets = np.cumsum([0, *(len(task.classes) for task in self.tasks)])
        labels = np.concatenate(
            [t.train["labels"].numpy() + o for t, o in zip(self.tasks, offsets, strict=False)]
        )
        ends = np.cumsum([0, *sizes])
        return [
            [
                part[(part >= ends[task]) & (part < ends[task + 1])] - ends[task]
                for task in range(len(sizes))
            ]
            for part in shard(labels, self.config.shards, seeding.derive(self.seed, "stream"))
        ]


def take_some(rows: Rows, index: np.ndarray) -> Rows:
    """The rows of an index that may be empty; no copy where it takes all in their order."""
    if np.array_equal(index, np.arange(size(rows))):
        return rows
    if len(index) == 0:
        return {name: column[:0] for name, column in rows.items()}
    return take(rows, torch.from_numpy(index))
