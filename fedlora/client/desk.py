"""All that one client works with: its task, its shard, encoded once."""

from dataclasses import dataclass

import numpy as np
import torch

from fedlora import seeding
from fedlora.backbone import AdapterSlot
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.finetune.objectives import Objective, Rows, objective_for
from fedlora.finetune.objectives.contract import take
from fedlora.roster import Seat
from fedlora.tasks.contract import TaskFamily, check_split
from fedlora.tasks.shards import shard


@dataclass(frozen=True, eq=False)
class Desk:
    """One client's task on the wrapped base model, every split as tensors."""

    seat: Seat
    objective: Objective
    train: Rows
    validation: Rows
    test: Rows

    @property
    def examples(self) -> int:
        """Training examples in the client's shard."""
        return len(next(iter(self.train.values())))

    def few(self, count: int, seed: int) -> Rows:
        """`count` of the training examples, the same for every method that is given few labels."""
        order = torch.randperm(self.examples, generator=seeding.generator(seed, "few"))
        return take(self.train, order[:count])


def open_desk(
    config: RunConfig, family: TaskFamily, seat: Seat, slot: AdapterSlot, seed: int
) -> Desk:
    """Load a client's task and deal it its shard.

    Raises:
        FedloraError: the data is missing, a split is empty, or the shard is too small.
    """
    task = family.load(seat.task)
    for split, examples in task.splits.items():
        check_split(task.name, split, examples)
    train = task.splits["train"]
    if seat.role == "bank":
        labels = np.zeros(len(train), np.int64) if train.labels is None else train.labels
        shards = shard(labels, config.shards, seeding.derive(seed, "shards", task.name))
        train = train.take(shards[seat.shard])
    if len(train) < config.shards.min_examples:
        raise FedloraError(
            f"task '{task.name}': {len(train)} training examples, fewer than"
            f" shards.min_examples={config.shards.min_examples}"
        )
    objective = objective_for(
        slot, task.kind, task.label_names, config.lora.head, config.backbone.max_length
    )
    return Desk(
        seat=seat,
        objective=objective,
        train=objective.encode(train),
        validation=objective.encode(task.splits["validation"]),
        test=objective.encode(task.splits["test"]),
    )
