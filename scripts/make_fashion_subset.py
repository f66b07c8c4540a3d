"""Cut the class-balanced subset of Fashion-MNIST that ships with fedlora.

    python scripts/make_fashion_subset.py /usr/share/datasets/fashion-mnist

The folder is that of the Debian package dataset-fashion-mnist (four IDX files). The original
row numbers are kept beside the images, so that a backbone can be pretrained on all the others.
"""

import argparse
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np

from fedlora.tasks.idx import read_idx

TRAIN_PER_CLASS = 1400
TEST_PER_CLASS = 500
CLASSES = 10
SEED = 20170825
TARGET = Path(__file__).parents[1] / "fedlora" / "assets" / "fashion_mnist" / "subset.npz"


def balanced_rows(labels: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted row numbers, `per_class` of every class, drawn without replacement."""
    drawn = [
        rng.choice(np.flatnonzero(labels == label), per_class, replace=False)
        for label in range(CLASSES)
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int32)


def subset(folder: Path) -> dict[str, np.ndarray]:
    """Images (n, 28, 28) uint8, labels (n,) uint8 and rows (n,) int32 of both splits."""
    rng = np.random.default_rng(SEED)
    arrays = {}
    for split, prefix, per_class in (
        ("train", "train", TRAIN_PER_CLASS),
        ("test", "t10k", TEST_PER_CLASS),
    ):
        images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
        rows = balanced_rows(labels, per_class, rng)
        arrays[f"{split}_images"] = images[rows]
        arrays[f"{split}_labels"] = labels[rows]
        arrays[f"{split}_rows"] = rows
    return arrays


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An .npz whose members are LZMA-compressed and dateless, so that equal data is equal bytes."""
    part = path.with_name(f".{path.name}.part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            buffer = BytesIO()
            np.save(buffer, array, allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_LZMA
            archive.writestr(member, buffer.getvalue())
    part.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the four IDX files")
    write_npz(TARGET, subset(parser.parse_args().folder))
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
