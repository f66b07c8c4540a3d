"""Many image tasks from one source: the same classes seen under other conditions."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from pydantic import Field, PositiveInt

from fedlora import seeding
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Split, Table, Task, TaskFamily, TaskNames
from fedlora.tasks.image_grid import ORDERED, Factors, Range, sample_grid
from fedlora.tasks.image_transform import ImageTransform
from fedlora.tasks.naming import unknown_task
from fedlora.tasks.source_part import SourcePart
from fedlora.tasks.splits import Splits, make_task, split_rows, test_mask


class Config(Section):
    """A grid of factors over the images of one source.

    bank, held_out: how many combinations fill the bank, and how many newcomers bring. The
        corners of the grid are in the bank, so a newcomer's combination lies inside its range.
    out_of_range: share of the newcomers that go one step beyond an end of one factor instead.
    splits: the most images of one task; each task draws its own.
    """

    source: SourcePart = Field(default_factory=lambda: SourcePart(name="fashion_mnist"))
    factors: Factors = Factors(
        rotation=Range(low=0, high=90, steps=10), contrast=Range(low=0.3, high=1, steps=8)
    )
    bank: PositiveInt = 48
    held_out: PositiveInt = 12
    out_of_range: float = Field(0.0, ge=0, le=1)
    splits: Splits = Splits()
    seed: int = 0


class ImageDomains(TaskFamily):
    """The same classes under combinations of rotation, shear, blur, contrast, inversion, noise."""

    Config = Config

    def names(self) -> TaskNames:
        """Such as "rotation=40,contrast=0.6"; only the factors that vary are named."""
        names = list(self._transforms)
        cut = self.config.bank
        return TaskNames(bank=tuple(names[:cut]), held_out=tuple(names[cut:]))

    def load(self, name: str) -> Task:
        """Its own images, drawn from the source's rows and changed."""
        transform = self._transforms.get(name)
        if transform is None:
            raise unknown_task("image_domains", name, list(self._transforms))
        table, seed = self._table, self.config.seed
        rows = np.arange(len(table.examples))
        drawn = split_rows(rows, self._test, self.config.splits, seed, name)
        splits = {
            split: self._changed(table.examples.take(index), transform, name, split)
            for split, index in drawn.items()
        }
        return make_task(name, table, splits, table.label_names)

    def _changed(
        self, examples: Examples, transform: ImageTransform, name: str, split: Split
    ) -> Examples:
        seed = seeding.derive(self.config.seed, "image domain", name, split)
        return Examples(transform.apply(np.asarray(examples.inputs), seed), examples.labels)

    @cached_property
    def _table(self) -> Table:
        table: Table = self.config.source.load()
        if table.kind != "image-classification":
            name = self.config.source.name
            raise FedloraError(f"tasks.source: '{name}' holds no images; choose an image source")
        return table

    @cached_property
    def _test(self) -> np.ndarray:
        return test_mask(self._table, self.config.seed)

    @cached_property
    def _transforms(self) -> dict[str, ImageTransform]:
        config = self.config
        rng = np.random.default_rng(seeding.derive(config.seed, "image domains"))
        outside = round(config.out_of_range * config.held_out)
        bank, held_out = sample_grid(config.factors, config.bank, config.held_out, outside, rng)
        varying = [factor for factor in ORDERED if len(config.factors.values(factor)) > 1]
        return {_name(transform, varying): transform for transform in (*bank, *held_out)}


def _name(transform: ImageTransform, varying: Sequence[str]) -> str:
    parts = [f"{factor}={getattr(transform, factor):g}" for factor in varying]
    if transform.inversion:
        parts.append("inverted")
    return ",".join(parts) or "plain"
