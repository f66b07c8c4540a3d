"""All that one client works with: its task, its shard."""

from dataclasses import dataclass

import torch

from fedlora import seeding
from fedlora.client.encoded_task import EncodedTask
from fedlora.errors import FedloraError
from fedlora.finetune.objectives import Objective, Rows
from fedlora.finetune.objectives.contract import take
from fedlora.roster import Seat


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


def open_desk(seat: Seat, task: EncodedTask, least: int) -> Desk:
    """Seat a client at its task, with its shard alone to train on.

    Raises:
        FedloraError: the client has fewer than `least` training examples.
    """
    train = task.train
    if task.shards is not None:
        train = take(train, torch.from_numpy(task.shards[seat.shard]))
    desk = Desk(seat, task.objective, train, task.validation, task.test)
    if desk.examples < least:
        raise FedloraError(
            f"task '{seat.task}': {desk.examples} training examples, fewer than"
            f" shards.min_examples={least}; give it more, or lower that key"
        )
    return desk
