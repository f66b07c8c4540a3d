"""Scenes composed of real photographs and handwriting, with the box of every item."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field, PositiveInt

from fedlora import seeding
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Source, Table
from fedlora.tasks.detection.locations import Found, quantise, to_text
from fedlora.tasks.detection.scenes import Canvas, Scene, compose
from fedlora.tasks.source_part import SourcePart
from fedlora.tasks.splits import test_mask


class Config(Section):
    """Which items, and how scenes are made of them; sizes in pixels.

    sources: of images of one size with a class each.
    train, test: numbers of scenes; no item is in both.
    size: of the canvas; grid: corners lie on multiples of it.
    smallest, largest: longer side of an item.
    most: items of a scene at most.
    """

    sources: tuple[SourcePart, ...] = Field(
        default_factory=lambda: (SourcePart(name="fashion_mnist"), SourcePart(name="digits")),
        min_length=1,
    )
    train: PositiveInt = 4000
    test: PositiveInt = 1500
    size: PositiveInt = 36
    grid: PositiveInt = 3
    smallest: PositiveInt = 12
    largest: PositiveInt = 21
    most: PositiveInt = 2
    seed: int = 0


class ItemScenes(Source):
    """Clothes and digits on a dark canvas, one or two at a time, with their boxes."""

    Config = Config

    def load(self) -> Table:
        """Training scenes first, then test scenes; every class is as frequent as any other."""
        config = self.config
        tables = [source.load() for source in config.sources]
        shapes = {np.asarray(table.examples.inputs).shape[1:] for table in tables}
        if len(shapes) > 1 or any(t.kind != "image-classification" for t in tables):
            raise FedloraError(
                "tasks.source.sources: all must hold images of one size, with labels"
            )
        images = np.concatenate([np.asarray(table.examples.inputs) for table in tables])
        names = [name for table in tables for name in table.label_names]
        first = np.cumsum([0, *(len(table.label_names) for table in tables)])
        labels = np.concatenate(
            [start + _labels(table) for start, table in zip(first[:-1], tables, strict=True)]
        )
        judged = np.concatenate([test_mask(table, config.seed) for table in tables])
        made = [
            *self._scenes(images, labels, ~judged, config.train, "train"),
            *self._scenes(images, labels, judged, config.test, "test"),
        ]
        suffixes = [
            _suffix(scene, [names[label] for label in labels], config.size) for scene in made
        ]
        pictures = np.stack([scene.image for scene in made])
        test = np.arange(len(made)) >= config.train
        return Table(
            "object-detection", Examples(pictures, suffixes=suffixes), tuple(names), test=test
        )

    def _scenes(
        self, images: np.ndarray, labels: np.ndarray, allowed: np.ndarray, count: int, split: str
    ) -> list[Scene]:
        config = self.config
        canvas = Canvas(config.size, config.grid, config.smallest, config.largest, config.most)
        rng = np.random.default_rng(seeding.derive(config.seed, "scenes", split))
        own = [np.flatnonzero((labels == label) & allowed) for label in np.unique(labels)]
        return [compose(images, own, canvas, rng) for _ in range(count)]


def _labels(table: Table) -> np.ndarray:
    assert table.examples.labels is not None
    return table.examples.labels


def _suffix(scene: Scene, names: Sequence[str], size: int) -> str:
    pairs = zip(scene.items, scene.boxes, strict=True)
    return to_text([Found(names[item], quantise(box, size, size)) for item, box in pairs])
