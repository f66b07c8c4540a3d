"""Detection tasks from one source: each finds the objects of one class."""

from functools import cached_property

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from fedlora import seeding
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Table, Task, TaskFamily, TaskNames
from fedlora.tasks.detection.locations import from_text, to_text
from fedlora.tasks.naming import distinct_names, unknown_task
from fedlora.tasks.source_part import SourcePart
from fedlora.tasks.splits import Splits, make_task, split_rows, test_mask


class Config(Section):
    """A source of images with boxes.

    min_examples: classes in fewer images are left out.
    bank: how many classes fill the bank; null for all that newcomers leave.
    held_out: how many classes newcomers bring.
    splits: the most images of one task.
    """

    source: SourcePart = Field(default_factory=lambda: SourcePart(name="item_scenes"))
    min_examples: PositiveInt = 50
    bank: PositiveInt | None = None
    held_out: NonNegativeInt = 0
    splits: Splits = Splits()
    seed: int = 0


class DetectionClasses(TaskFamily):
    """One task a class: the images that show it, and its boxes alone."""

    Config = Config
    from_rows = True

    def names(self) -> TaskNames:
        """The classes' names, newcomers drawn at random."""
        names, config = list(self._rows), self.config
        rng = np.random.default_rng(seeding.derive(config.seed, "detection classes"))
        order = [names[i] for i in rng.permutation(len(names))]
        bank = len(names) - config.held_out if config.bank is None else config.bank
        if bank < 1 or bank + config.held_out > len(names):
            raise FedloraError(
                f"tasks: the source shows {len(names)} classes in at least {config.min_examples}"
                " images; lower bank, held_out or min_examples"
            )
        chosen = order[: bank + config.held_out]
        return TaskNames(bank=tuple(sorted(chosen[:bank])), held_out=tuple(sorted(chosen[bank:])))

    def load(self, name: str) -> Task:
        """The images that show the class, and what is told of them: its objects only."""
        if name not in self._rows:
            raise unknown_task("detection_classes", name, list(self._rows))
        label, rows = self._rows[name]
        table, seed = self._table, self.config.seed
        drawn = split_rows(rows, self._test, self.config.splits, seed, name)
        splits = {split: _only(table.examples.take(index), label) for split, index in drawn.items()}
        return make_task(name, table, splits, (label,))

    @cached_property
    def _table(self) -> Table:
        table: Table = self.config.source.load()
        if table.kind != "object-detection":
            raise FedloraError(
                f"tasks.source: '{self.config.source.name}' holds no boxes; choose item_scenes or"
                " florence_jsonl"
            )
        return table

    @cached_property
    def _test(self) -> np.ndarray:
        return test_mask(self._table, self.config.seed)

    @cached_property
    def _rows(self) -> dict[str, tuple[str, np.ndarray]]:
        """Task name -> label and row numbers, sorted by label."""
        shown: dict[str, list[int]] = {}
        for row, suffix in enumerate(self._table.examples.suffixes or ()):
            for label in {found.label for found in from_text(suffix)}:
                shown.setdefault(label, []).append(row)
        kept = {k: v for k, v in sorted(shown.items()) if len(v) >= self.config.min_examples}
        names = distinct_names(kept, f"the labels of '{self.config.source.title}'")
        return {names[label]: (label, np.array(rows)) for label, rows in kept.items()}


def _only(examples: Examples, label: str) -> Examples:
    suffixes = [
        to_text([found for found in from_text(suffix) if found.label == label])
        for suffix in examples.suffixes or ()
    ]
    return Examples(examples.inputs, suffixes=suffixes)
