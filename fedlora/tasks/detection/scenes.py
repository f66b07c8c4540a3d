"""Scenes composed of real items on an empty canvas, with the box of every item."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from fedlora.tasks.detection.locations import Box

TRIES = 30


@dataclass(frozen=True)
class Canvas:
    """How scenes are made; sizes in pixels.

    size: of the canvas, a square; grid: corners lie on multiples of it.
    smallest, largest: side of an item, steps of the grid.
    most: items of a scene at most.
    """

    size: int
    grid: int
    smallest: int
    largest: int
    most: int


@dataclass(frozen=True)
class Scene:
    """image: (1, size, size) float32 in [0, 1]; items: index of each, beside its box."""

    image: np.ndarray
    items: tuple[int, ...]
    boxes: tuple[Box, ...]


def compose(
    images: np.ndarray, classes: Sequence[np.ndarray], canvas: Canvas, rng: np.random.Generator
) -> Scene:
    """One scene of one to `most` items, every class as likely as any other.

    Items keep their upright position, and none overlaps another; one that finds no place is left
    out. They are listed from the top, then from the left.

    Args:
        images: (n, 1, h, w) float32 in [0, 1], dark around the item.
        classes: for each class, the row numbers of its items.
        canvas: sizes.
        rng: decides everything.
    """
    count = int(rng.integers(1, canvas.most + 1))
    chosen = [int(rng.choice(classes[label])) for label in rng.integers(len(classes), size=count)]
    picture = np.zeros((1, canvas.size, canvas.size), np.float32)
    placed: list[tuple[int, Box]] = []
    for item in chosen:
        tight = _tight(images[item, 0])
        box = _place(tight.shape, [b for _, b in placed], canvas, rng)
        if box is None:
            continue
        x1, y1, x2, y2 = (int(v) for v in box)
        picture[0, y1:y2, x1:x2] = _resized(tight, (y2 - y1, x2 - x1))
        placed.append((item, box))
    placed.sort(key=lambda one: (one[1][1], one[1][0]))
    return Scene(picture, tuple(i for i, _ in placed), tuple(b for _, b in placed))


def _tight(image: np.ndarray) -> np.ndarray:
    """The item without the dark rows and columns around it."""
    lit = image > 0.1
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    if not len(rows):
        return image
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _place(
    shape: tuple[int, ...], taken: Sequence[Box], canvas: Canvas, rng: np.random.Generator
) -> Box | None:
    """A free box of about the item's proportions; None where no try finds one."""
    for _ in range(TRIES):
        steps = np.arange(canvas.smallest, canvas.largest + 1, canvas.grid)
        side, grid = int(rng.choice(steps)), canvas.grid
        scale = side / max(shape)
        height, width = (max(grid, grid * round(scale * length / grid)) for length in shape[:2])
        x = grid * int(rng.integers(0, (canvas.size - width) // grid + 1))
        y = grid * int(rng.integers(0, (canvas.size - height) // grid + 1))
        if all(x + width <= a or c <= x or y + height <= b or d <= y for a, b, c, d in taken):
            return float(x), float(y), float(x + width), float(y + height)
    return None


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    pixels = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    resized = functional.interpolate(pixels, size, mode="bilinear", antialias=True).clamp(0, 1)
    return resized[0, 0].numpy()
