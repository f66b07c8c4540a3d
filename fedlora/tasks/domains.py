"""Many tasks from one source: one for each value of a column."""

from functools import cached_property

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from fedlora import seeding
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Kind, Split, Table, Task, TaskFamily, TaskNames
from fedlora.tasks.naming import distinct_names, task_name, unknown_task
from fedlora.tasks.source_part import SourcePart
from fedlora.tasks.splits import Splits, make_task, split_rows, test_mask
from fedlora.tasks.text_blocks import blocks_of


class Config(Section):
    """A source, and the column whose every value is a task.

    column: a group of the source (product line, author, subject).
    language_modelling: the text alone, in blocks of `block_words` words, instead of the labels.
    min_examples: values with fewer rows are left out; so are, with labels, those of one class.
    bank: how many values fill the bank; null for all that newcomers leave.
    held_out: how many values newcomers bring.
    """

    source: SourcePart
    column: str
    language_modelling: bool = False
    block_words: PositiveInt = 96
    min_examples: PositiveInt = 100
    bank: PositiveInt | None = None
    held_out: NonNegativeInt = Field(1)
    splits: Splits = Splits()
    seed: int = 0


class Domains(TaskFamily):
    """One task for each product line, author or subject of a source."""

    Config = Config
    from_rows = True

    def names(self) -> TaskNames:
        """Such as "department=tops", newcomers drawn at random."""
        names = list(self._rows)
        rng = np.random.default_rng(seeding.derive(self.config.seed, "domains"))
        order = [names[i] for i in rng.permutation(len(names))]
        bank = len(names) - self.config.held_out if self.config.bank is None else self.config.bank
        if bank < 1 or bank + self.config.held_out > len(names):
            raise self._too_few(len(names))
        chosen = order[: bank + self.config.held_out]
        return TaskNames(bank=tuple(sorted(chosen[:bank])), held_out=tuple(sorted(chosen[bank:])))

    def load(self, name: str) -> Task:
        """The rows that have the value."""
        rows = self._rows.get(name)
        if rows is None:
            raise unknown_task("domains", name, list(self._rows))
        table, seed, sizes = self._table, self.config.seed, self.config.splits
        drawn = split_rows(rows, self._test, sizes, seed, name)
        splits = {split: self._examples(index, split) for split, index in drawn.items()}
        remedy = "raise tasks.min_examples to leave it out, or give it more"
        return make_task(name, table, splits, table.label_names, remedy)

    def _too_few(self, tasks: int) -> FedloraError:
        """The error for fewer tasks than bank and newcomers need."""
        config = self.config
        _, counts = np.unique(self._table.groups[config.column], return_counts=True)
        return FedloraError(
            f"tasks.min_examples: {tasks} of the {len(counts)} values of column '{config.column}'"
            f" in '{config.source.title}' give a task, of {config.min_examples} examples or more"
            f" and of two labels if it has labels (the largest value has {counts.max()} examples);"
            f" {(config.bank or 1) + config.held_out} tasks are needed: lower tasks.min_examples,"
            " or tasks.bank and tasks.held_out"
        )

    def _examples(self, rows: np.ndarray, split: Split) -> Examples:
        if not self.config.language_modelling:
            return self._table.examples.take(rows)
        most = getattr(self.config.splits, split)
        return blocks_of(self._table.examples, rows, self.config.block_words, most)

    @cached_property
    def _table(self) -> Table:
        table: Table = self.config.source.load()
        if not self.config.language_modelling:
            return table
        if table.kind == "image-classification":
            name = self.config.source.name
            raise FedloraError(f"tasks.source: '{name}' holds images; choose a source of texts")
        kind: Kind = "language-modelling"
        return Table(kind, table.examples, groups=table.groups, test=table.test)

    @cached_property
    def _test(self) -> np.ndarray:
        return test_mask(self._table, self.config.seed)

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        """Task name -> row numbers, sorted by name."""
        column = self.config.column
        group = self._table.group(column, "tasks.column", self.config.source.name)
        of_value = {str(v): np.flatnonzero(group == v) for v in np.unique(group)}
        kept = {
            value: index
            for value, index in of_value.items()
            if len(index) >= self.config.min_examples and self._teaches(index)
        }
        names = distinct_names(kept, f"tasks.column: '{column}' in '{self.config.source.title}'")
        return {f"{task_name(column)}={names[value]}": index for value, index in kept.items()}

    def _teaches(self, index: np.ndarray) -> bool:
        labels = self._table.examples.labels
        if self._table.kind != "text-classification" or labels is None:
            return True
        return len(np.unique(labels[index])) > 1
