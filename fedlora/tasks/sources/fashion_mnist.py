"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747), MIT licence."""

from importlib.resources import as_file, files

import numpy as np

from fedlora.section import Section
from fedlora.tasks.cache import cached
from fedlora.tasks.contract import Examples, Source, Table
from fedlora.tasks.idx import read_idx

LABEL_NAMES = (
    "t-shirt or top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


class Config(Section):
    """full: all 70,000 images from the data cache, not the 19,000 that ship with fedlora.

    The embedded tiny ViT was pretrained on the full set's other training images, so only the
    shipped ones are unseen by it.
    """

    full: bool = False


class FashionMnist(Source):
    """28 x 28 grey photographs of clothes in ten classes; 19,000 ship with fedlora."""

    Config = Config

    def load(self) -> Table:
        """Train rows first, then test rows; images (n, 1, 28, 28) float32 in [0, 1]."""
        arrays = _full() if self.config.full else _shipped()
        train_images, train_labels, test_images, test_labels = arrays
        images = np.concatenate([train_images, test_images])
        labels = np.concatenate([train_labels, test_labels])
        return Table(
            kind="image-classification",
            examples=Examples(
                inputs=(images[:, None] / np.float32(255)).astype(np.float32),
                labels=labels.astype(np.int64),
            ),
            label_names=LABEL_NAMES,
            test=np.arange(len(labels)) >= len(train_labels),
        )


def _shipped() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    asset = files("fedlora") / "assets" / "fashion_mnist" / "subset.npz"
    with as_file(asset) as path, np.load(path, allow_pickle=False) as subset:
        return (
            subset["train_images"],
            subset["train_labels"],
            subset["test_images"],
            subset["test_labels"],
        )


def _full() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    def read(name: str) -> np.ndarray:
        return read_idx(cached("fashion_mnist", f"{name}-ubyte.gz"))

    return (
        read("train-images-idx3"),
        read("train-labels-idx1"),
        read("t10k-images-idx3"),
        read("t10k-labels-idx1"),
    )
