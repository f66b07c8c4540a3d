"""CIFAR-100 (Krizhevsky 2009) from a folder in torchvision's format."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import PositiveInt

from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Source, Table
from fedlora.tasks.plain_pickle import read_plain

SIDE = 32
_INNER = "cifar-100-python"


class Config(Section):
    """path: the folder that torchvision's CIFAR100(root) was given, or `cifar-100-python` itself.

    per_class: the most images of each class and split that are kept; all when absent.
    """

    path: Path
    per_class: PositiveInt | None = None


class Cifar100(Source):
    """60,000 colour photographs of 32 x 32 pixels in a hundred classes, from your own copy."""

    Config = Config

    def load(self) -> Table:
        """Train rows first, then test rows; images (n, 3, 32, 32) float32 in [0, 1]."""
        folder = self.config.path.expanduser()
        if (folder / _INNER).is_dir():
            folder = folder / _INNER
        if not folder.is_dir():
            raise FedloraError(
                f"{folder}: no such folder; fetch CIFAR-100 (python version) and set source.path"
            )
        names = read_plain(folder / "meta").get("fine_label_names") or []
        parts = [self._part(folder / part, len(names)) for part in ("train", "test")]
        images = np.concatenate([images for images, _ in parts])
        return Table(
            kind="image-classification",
            examples=Examples(
                inputs=(images.reshape(-1, 3, SIDE, SIDE) / np.float32(255)).astype(np.float32),
                labels=np.concatenate([labels for _, labels in parts]),
            ),
            label_names=tuple(
                name.decode() if isinstance(name, bytes) else str(name) for name in names
            ),
            test=np.arange(len(images)) >= len(parts[0][0]),
        )

    def _part(self, path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
        """Images (n, 3072) uint8 and labels (n,) int64 of one file."""
        found: dict[str, Any] = read_plain(path)
        images, labels = found.get("data"), np.asarray(found.get("fine_labels", ()), np.int64)
        if not isinstance(images, np.ndarray) or images.shape != (len(labels), 3 * SIDE * SIDE):
            raise FedloraError(f"{path}: not a file of CIFAR-100; fetch it again")
        if len(labels) == 0 or labels.min() < 0 or labels.max() >= classes:
            raise FedloraError(f"{path}: labels that `meta` does not name; fetch it again")
        if self.config.per_class is None:
            return images, labels
        kept = [np.flatnonzero(labels == c)[: self.config.per_class] for c in range(classes)]
        rows = np.sort(np.concatenate(kept))
        return images[rows], labels[rows]
