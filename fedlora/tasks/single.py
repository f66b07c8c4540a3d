"""One source, one task: for federations that share a task rather than a bank of them."""

import numpy as np

from fedlora.section import Section
from fedlora.tasks.contract import Task, TaskFamily, TaskNames
from fedlora.tasks.naming import task_name, unknown_task
from fedlora.tasks.source_part import SourcePart
from fedlora.tasks.splits import Splits, make_task, split_rows, test_mask


class Config(Section):
    """The source, and the most examples of each split."""

    source: SourcePart
    splits: Splits = Splits()
    seed: int = 0


class Single(TaskFamily):
    """One source as one task, to be dealt to many clients in shards."""

    Config = Config

    def names(self) -> TaskNames:
        """The source's name; no newcomers."""
        return TaskNames(bank=(task_name(self.config.source.name),), held_out=())

    def load(self, name: str) -> Task:
        """All that the source holds, up to the sizes of the splits."""
        (own,) = self.names().bank
        if name != own:
            raise unknown_task("single", name, [own])
        table, seed = self.config.source.load(), self.config.seed
        rows = np.arange(len(table.examples))
        drawn = split_rows(rows, test_mask(table, seed), self.config.splits, seed, name)
        splits = {split: table.examples.take(index) for split, index in drawn.items()}
        return make_task(name, table, splits, table.label_names)
