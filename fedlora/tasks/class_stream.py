"""A stream from one source: its classes in turn, a few a task, none twice."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from pydantic import Field

from fedlora import seeding
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Table, Task, TaskFamily, TaskNames
from fedlora.tasks.image_files import ImageFiles
from fedlora.tasks.image_transform import ImageTransform
from fedlora.tasks.naming import distinct_names, unknown_task
from fedlora.tasks.source_part import SourcePart
from fedlora.tasks.splits import Splits, make_task, split_rows, test_mask


class Config(Section):
    """Which source, how many of its classes a task has, and in what order they come.

    shuffle: the classes in an order drawn by `seed`, or as the source names them.
    transform: done to every image, so that the base model has something to learn.
    splits: the most examples of one task.
    """

    source: SourcePart = Field(default_factory=lambda: SourcePart(name="fashion_mnist"))
    classes_per_task: int = Field(2, ge=1)
    shuffle: bool = False
    transform: ImageTransform | None = None
    splits: Splits = Splits()
    seed: int = 0


class ClassStream(TaskFamily):
    """The classes of one source in turn, a few a task; for continual runs."""

    Config = Config
    from_rows = True

    def names(self) -> TaskNames:
        """The classes' names joined by plus signs, in the order of the stream."""
        return TaskNames(bank=tuple(self._parts), held_out=())

    def load(self, name: str) -> Task:
        """Only the examples of its classes, labelled anew from 0."""
        part = self._parts.get(name)
        if part is None:
            raise unknown_task("class_stream", name, list(self._parts))
        table, seed = self._table, self.config.seed
        assert table.examples.labels is not None
        labels = table.examples.labels
        rows = np.flatnonzero(np.isin(labels, part))
        drawn = split_rows(rows, self._test, self.config.splits, seed, name)
        splits = {
            split: Examples(
                inputs=self._shown(table.examples.take(index), f"{name} {split}"),
                labels=np.searchsorted(part, labels[index]),
            )
            for split, index in drawn.items()
        }
        return make_task(name, table, splits, tuple(table.label_names[label] for label in part))

    def _shown(self, examples: Examples, what: str) -> np.ndarray | ImageFiles | Sequence[str]:
        """The inputs, transformed where the config says so."""
        if self.config.transform is None:
            return examples.inputs
        if not isinstance(examples.inputs, np.ndarray | ImageFiles):
            raise FedloraError("tasks.transform: is for images; leave it out for texts")
        changed: np.ndarray = self.config.transform.apply(
            np.asarray(examples.inputs), seeding.derive(self.config.seed, what)
        )
        return changed

    @cached_property
    def _table(self) -> Table:
        table: Table = self.config.source.load()
        return table

    @cached_property
    def _test(self) -> np.ndarray:
        return test_mask(self._table, self.config.seed)

    @cached_property
    def _parts(self) -> dict[str, tuple[int, ...]]:
        """Each task's classes, as sorted rows of the source's label names."""
        config, table = self.config, self._table
        if table.examples.labels is None or not table.label_names:
            raise FedloraError(
                f"tasks.source: '{config.source.name}' has no classes; choose another source"
            )
        present = np.unique(table.examples.labels)
        if config.shuffle:
            rng = np.random.default_rng(seeding.derive(config.seed, "order of classes"))
            present = rng.permutation(present)
        cuts = range(config.classes_per_task, len(present), config.classes_per_task)
        parts = [tuple(sorted(part.tolist())) for part in np.split(present, list(cuts))]
        names = distinct_names(table.label_names, f"the labels of '{config.source.title}'")
        return {"+".join(names[table.label_names[label]] for label in part): part for part in parts}
