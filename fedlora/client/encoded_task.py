"""Tasks as a process works with them: loaded and encoded once for all clients that share one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fedlora import seeding
from fedlora.backbone import AdapterSlot
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.finetune.objectives import Objective, Rows, objective_for
from fedlora.roster import Role
from fedlora.tasks.contract import TaskFamily, check_splits
from fedlora.tasks.shards import shard


@dataclass(frozen=True, eq=False)
class EncodedTask:
    """A task on the wrapped base model, every split as tensors.

    shards: row numbers of each client's training examples; None where one client has them all.
    """

    objective: Objective
    train: Rows
    validation: Rows
    test: Rows
    shards: Sequence[np.ndarray] | None

    @property
    def nbytes(self) -> int:
        """Bytes of the encoded splits."""
        splits = (self.train, self.validation, self.test)
        return sum(column.nbytes for split in splits for column in split.values())


def encode_task(
    config: RunConfig, family: TaskFamily, name: str, role: Role, slot: AdapterSlot, seed: int
) -> EncodedTask:
    """Load a task, encode it, and deal its training examples to the bank's clients.

    Raises:
        FedloraError: the data is missing, a split is empty, or a shard would be too small.
    """
    task = family.load(name)
    check_splits(task, "give it more")
    train, shards = task.splits["train"], None
    if role == "bank":
        labels = np.zeros(len(train), np.int64) if train.labels is None else train.labels
        try:
            dealt = shard(labels, config.shards, seeding.derive(seed, "shards", name))
        except FedloraError as error:
            raise FedloraError(f"task '{name}': {error}") from None
        shards = dealt if len(dealt) > 1 else None
    objective = objective_for(
        slot, task.kind, task.label_names, config.lora.head, config.backbone.max_length
    )
    return EncodedTask(
        objective=objective,
        train=objective.encode(train),
        validation=objective.encode(task.splits["validation"]),
        test=objective.encode(task.splits["test"]),
        shards=shards,
    )


class TaskCache:
    """Encoded tasks within a budget of bytes, and the latest that had no room in it.

    What has come stays, and what has no room stays only while it is asked for: rounds meet all
    tasks in the same order, so that the oldest are the next to be asked for. However many clients
    a process carries, it holds no more than the budget and one task.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._held: dict[str, EncodedTask] = {}
        self._size = 0
        self._beyond: dict[str, EncodedTask] = {}

    def get(self, name: str, encode: Callable[[], EncodedTask]) -> EncodedTask:
        """The task of a name; `encode` makes it where it is not held."""
        found = self._held.get(name) or self._beyond.get(name)
        if found is not None:
            return found
        self._beyond.clear()
        task = encode()
        if self._size + task.nbytes <= self.budget:
            self._held[name] = task
            self._size += task.nbytes
        else:
            self._beyond[name] = task
        return task
