"""A folder of images, one subfolder a class."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from fedlora.errors import FedloraError
from fedlora.tasks.contract import Examples, Table
from fedlora.tasks.labels import label_indices

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def is_image_folder(path: Path) -> bool:
    """Whether a subfolder, or one of its subfolders, holds images."""
    return path.is_dir() and any(
        file.suffix.lower() in SUFFIXES
        for pattern in ("*/*", "*/*/*")
        for file in path.glob(pattern)
    )


def image_table(path: Path, size: int, channels: int, labels: tuple[str, ...] | None) -> Table:
    """FOLDER/CLASS/*.png, or FOLDER/train/CLASS/*.png and FOLDER/test/CLASS/*.png.

    Returns:
        Images (n, channels, size, size) float32 in [0, 1], resized without regard to shape.

    Raises:
        FedloraError: an image cannot be read, there is one class only, or too little memory.
    """
    parts = [path / part for part in ("train", "test")]
    if not all(part.is_dir() for part in parts):
        parts = [path]
    files = [
        (index, file)
        for index, part in enumerate(parts)
        for file in sorted(part.glob("*/*"))
        if file.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise FedloraError(f"{path}: no images in class-named subfolders; add {path}/CLASS/*.png")
    indices, names = label_indices(
        [file.parent.name for _, file in files], labels, [str(file) for _, file in files], "folder"
    )
    return Table(
        kind="image-classification",
        examples=Examples(
            inputs=read_images([file for _, file in files], size, channels),
            labels=indices,
        ),
        label_names=names,
        test=np.array([index == 1 for index, _ in files]) if len(parts) == 2 else None,
    )


def read_images(files: Sequence[Path], size: int, channels: int) -> np.ndarray:
    """(n, channels, size, size) float32 in [0, 1].

    Raises:
        FedloraError: a file is no image, or the images and the splits that are copied from them
            take more memory than the machine has.
    """
    shape = (len(files), channels, size, size)
    needed = 4 * math.prod(shape)
    if 2 * needed > memory():
        raise FedloraError(
            f"tasks.source: {len(files):,} images of {size} x {size} take {needed / 1e9:.0f} GB,"
            f" twice that beside their splits, and this machine has {memory() / 1e9:.0f} GB; lower"
            " source.size, or give fewer images"
        )
    images = np.empty(shape, np.float32)
    for image, file in zip(images, files, strict=True):
        image[...] = read_image(file, size, channels)
    return images


def memory() -> int:
    """Bytes of memory that the machine has."""
    return int(psutil.virtual_memory().total)


def read_image(source: Path, size: int, channels: int) -> np.ndarray:
    """(channels, size, size) float32 in [0, 1].

    Raises:
        FedloraError: the file is no image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(source) as image:
            return pixels(image, size, channels)
    except (UnidentifiedImageError, OSError) as error:
        raise FedloraError(f"{source}: not a readable image; remove it or save it again") from error


def pixels(image: object, size: int, channels: int) -> np.ndarray:
    """(channels, size, size) float32 in [0, 1] of a Pillow image."""
    from PIL.Image import Image, Resampling

    assert isinstance(image, Image)
    mode = "L" if channels == 1 else "RGB"
    resized = image.convert(mode).resize((size, size), Resampling.BILINEAR)
    grid = np.asarray(resized, dtype=np.float32) / np.float32(255)
    return grid[None] if channels == 1 else np.ascontiguousarray(grid.transpose(2, 0, 1))
