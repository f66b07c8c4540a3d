"""A folder of images, one subfolder a class."""

from pathlib import Path

import numpy as np

from fedlora.errors import FedloraError
from fedlora.tasks.contract import Examples, Table
from fedlora.tasks.image_files import ImageFiles
from fedlora.tasks.labels import label_indices

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")


def is_image_folder(path: Path) -> bool:
    """Whether a subfolder, or one of its subfolders, holds images."""
    return path.is_dir() and any(
        file.suffix.lower() in SUFFIXES
        for pattern in ("*/*", "*/*/*")
        for file in path.glob(pattern)
    )


def image_table(path: Path, size: int, channels: int, labels: tuple[str, ...] | None) -> Table:
    """FOLDER/CLASS/*.png, or FOLDER/train/CLASS/*.png and FOLDER/test/CLASS/*.png.

    Raises:
        FedloraError: a file is no image, a folder may not be read, or there is one class only.
    """
    parts = [path / part for part in ("train", "test")]
    if not all(part.is_dir() for part in parts):
        parts = [path]
    files = [(index, file) for index, part in enumerate(parts) for file in _images(part)]
    if not files:
        raise FedloraError(f"{path}: no images in class-named subfolders; add {path}/CLASS/*.png")
    indices, names = label_indices(
        [file.parent.name for _, file in files], labels, [str(file) for _, file in files], "folder"
    )
    images = ImageFiles(tuple(file for _, file in files), size, channels)
    images.check()
    return Table(
        kind="image-classification",
        examples=Examples(images, indices),
        label_names=names,
        test=np.array([index == 1 for index, _ in files]) if len(parts) == 2 else None,
    )


def _images(folder: Path) -> list[Path]:
    """FOLDER/CLASS/*.png, by name."""
    try:
        classes = sorted(path for path in folder.iterdir() if path.is_dir())
        files = [file for name in classes for file in sorted(name.iterdir())]
    except OSError as error:
        raise FedloraError(f"{error.filename}: {error.strerror}; let this user read it") from error
    return [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()]
