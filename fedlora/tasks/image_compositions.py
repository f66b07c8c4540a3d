"""Image tasks that combine factors: each level was seen before, but never this pair of them."""

from functools import cached_property, reduce
from itertools import product
from typing import Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from fedlora import seeding
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Split, Table, Task, TaskFamily, TaskNames
from fedlora.tasks.image_transform import ImageTransform
from fedlora.tasks.naming import task_name, unknown_task
from fedlora.tasks.source_part import SourcePart
from fedlora.tasks.splits import Splits, make_task, split_rows, test_mask


class Level(ImageTransform):
    """One level of a factor: what it does to images, and the classes it keeps (all when absent)."""

    classes: tuple[str, ...] | None = Field(None, min_length=2)

    @property
    def changes(self) -> dict[str, object]:
        """What was given."""
        return {key: getattr(self, key) for key in type(self).model_fields if key in self.given}

    @property
    def given(self) -> frozenset[str]:
        """The names of what was given."""
        return frozenset(self.model_fields_set)

    @property
    def title(self) -> str:
        """Such as "rotation=45" or "inversion"; "plain" where nothing was given."""
        return ",".join(_words(key, value) for key, value in self.changes.items()) or "plain"


class Config(Section):
    """Levels of two or more factors; a task takes one level of each.

    bank, held_out: how many combinations fill the bank, and how many newcomers bring. The bank
        shows every level at least once, and a newcomer's combination never.
    splits: the most images of one task; each task draws its own.
    """

    source: SourcePart = Field(default_factory=lambda: SourcePart(name="fashion_mnist"))
    factors: tuple[tuple[Level, ...], ...] = Field(
        (
            tuple(Level(rotation=45.0 * turn) for turn in range(8)),
            (
                Level(),
                Level(inversion=True),
                Level(contrast=0.25),
                Level(noise=0.35),
                Level(blur=1.5),
                Level(shear=40),
                Level(shear=-40),
                Level(inversion=True, contrast=0.4),
            ),
        ),
        min_length=2,
    )
    bank: PositiveInt = 36
    held_out: PositiveInt = 24
    splits: Splits = Splits()
    seed: int = 0

    @model_validator(mode="after")
    def _check_factors(self) -> Self:
        given = [frozenset().union(*(level.given for level in levels)) for levels in self.factors]
        if any(one & two for place, one in enumerate(given) for two in given[place + 1 :]):
            raise ValueError("factors: each may change only what no other changes")
        most = max(len(levels) for levels in self.factors)
        if self.bank < most:
            raise ValueError(f"bank: {self.bank} tasks cannot show all {most} levels of a factor")
        return self


class ImageCompositions(TaskFamily):
    """One level of each factor at a time: rotations by corruptions, domains by label sets."""

    Config = Config

    def names(self) -> TaskNames:
        """Such as "rotation=45+inversion"."""
        names, cut = list(self._combined), self.config.bank
        return TaskNames(bank=tuple(names[:cut]), held_out=tuple(names[cut:]))

    def load(self, name: str) -> Task:
        """Its own images, drawn from the source's rows, changed, and labelled anew from 0."""
        level = self._combined.get(name)
        if level is None:
            raise unknown_task("image_compositions", name, list(self._combined))
        table, labels = self._table, self._labels
        kept = [table.label_names.index(each) for each in self._classes(level)]
        rows = np.flatnonzero(np.isin(labels, kept))
        drawn = split_rows(rows, self._test, self.config.splits, self.config.seed, name)
        place = {label: number for number, label in enumerate(kept)}
        splits = {
            split: Examples(
                self._changed(index, level, name, split),
                np.array([place[label] for label in labels[index].tolist()], np.int64),
            )
            for split, index in drawn.items()
        }
        return make_task(name, table, splits, tuple(table.label_names[label] for label in kept))

    def _changed(self, rows: np.ndarray, level: Level, name: str, split: Split) -> np.ndarray:
        seed = seeding.derive(self.config.seed, "image composition", name, split)
        return level.apply(np.asarray(self._table.examples.take(rows).inputs), seed)

    def _classes(self, level: Level) -> tuple[str, ...]:
        known = self._table.label_names
        for each in level.classes or ():
            if each not in known:
                raise FedloraError(f"tasks.factors: no class '{each}' among {', '.join(known)}")
        return level.classes or known

    @cached_property
    def _table(self) -> Table:
        table: Table = self.config.source.load()
        if table.kind != "image-classification":
            name = self.config.source.name
            raise FedloraError(f"tasks.source: '{name}' holds no images; choose an image source")
        return table

    @cached_property
    def _labels(self) -> np.ndarray:
        assert self._table.examples.labels is not None  # an image source has labels
        return self._table.examples.labels

    @cached_property
    def _test(self) -> np.ndarray:
        return test_mask(self._table, self.config.seed)

    @cached_property
    def _combined(self) -> dict[str, Level]:
        """The bank's combinations by name, then the newcomers'."""
        config = self.config
        rng = np.random.default_rng(seeding.derive(config.seed, "image compositions"))
        points = list(product(*(range(len(levels)) for levels in config.factors)))
        wanted = config.bank + config.held_out
        if len(points) < wanted:
            raise FedloraError(
                f"tasks.factors: {len(points)} combinations, {wanted} are needed; give the factors"
                " more levels, or lower bank or held_out"
            )
        covering = _covering([len(levels) for levels in config.factors], rng)
        others = [point for point in points if point not in covering]
        order = [*covering, *(others[i] for i in rng.permutation(len(others)))]
        found = {}
        for point in order[:wanted]:
            levels = [config.factors[factor][level] for factor, level in enumerate(point)]
            found["+".join(level.title for level in levels)] = reduce(_both, levels)
        return found


def _covering(sizes: list[int], rng: np.random.Generator) -> list[tuple[int, ...]]:
    """The fewest combinations that show every level of every factor, drawn at random."""
    most = max(sizes)
    columns = [
        np.concatenate([rng.permutation(size) for _ in range(-(-most // size))])[:most]
        for size in sizes
    ]
    return [tuple(int(level) for level in row) for row in zip(*columns, strict=True)]


def _both(one: Level, two: Level) -> Level:
    return Level.model_validate(one.changes | two.changes)


def _words(key: str, value: object) -> str:
    if isinstance(value, tuple):
        return "-".join(task_name(str(each)) for each in value)
    return key if value is True else f"{key}={value:g}" if isinstance(value, float) else key
