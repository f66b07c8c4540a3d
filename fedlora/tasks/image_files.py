"""Images that stay files until a client needs their pixels."""

import hashlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fedlora import cache
from fedlora.errors import FedloraError

AHEAD = 256
"""Images that are decoded at once."""


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """n image files, to be seen as (n, channels, size, size), resized without regard to shape."""

    files: tuple[Path, ...]
    size: int
    channels: int

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of all images as one array."""
        return (len(self), self.channels, self.size, self.size)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """(n, channels, size, size) float32 in [0, 1], in memory: for few images."""
        images = np.empty(self.shape, dtype or np.float32)
        for place, image in zip(images, self._decoded(), strict=True):
            place[...] = image.astype(np.float32) / 255
        return images

    def take(self, index: np.ndarray) -> "ImageFiles":
        """The files named by an integer index, in its order."""
        return ImageFiles(tuple(self.files[i] for i in index), self.size, self.channels)

    def check(self) -> None:
        """Look at the beginning of every file.

        Raises:
            FedloraError: one is no image, or may not be read.
        """
        for file in self.files:
            with _opened(file):
                pass

    def digests(self) -> list[bytes]:
        """One of each image's pixels, by which copies are known, whatever format they are kept in.

        Raises:
            FedloraError: a file is no image.
        """
        return [hashlib.blake2b(image.tobytes()).digest() for image in self._decoded()]

    def on_disk(self) -> np.ndarray:
        """(n, channels, size, size) uint8, in an unnamed file that goes with the array.

        Every image is decoded once, and memory holds those that are in use.

        Raises:
            FedloraError: a file is no image, or the disk is full.
        """
        if not self.files:
            return np.empty(self.shape, np.uint8)
        folder = cache.folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as kept:
                for image in self._decoded():
                    kept.write(image.data)
                kept.flush()
                # Copied on writing, which torch asks of an array; nobody writes.
                return np.memmap(kept, np.uint8, "c", shape=self.shape)
        except OSError as error:
            megabytes = np.prod(self.shape) / 1e6
            raise FedloraError(
                f"{folder}: {len(self):,} images of {self.size} x {self.size} take"
                f" {megabytes:,.1f} MB here ({error.strerror}); set FEDLORA_DATA to a folder with"
                " room, or lower source.size"
            ) from error

    def _decoded(self) -> Iterator[np.ndarray]:
        """(channels, size, size) uint8 of each file, in order; several are decoded at once."""
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(self), AHEAD):
                yield from pool.map(self._decode, self.files[start : start + AHEAD])

    def _decode(self, file: Path) -> np.ndarray:
        with _opened(file) as image:
            return pixels(image, self.size, self.channels)


def pixels(image: Image.Image, size: int, channels: int) -> np.ndarray:
    """(channels, size, size) uint8; of images with 16 bits a value the upper eight."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype("u1"))
    mode = "L" if channels == 1 else "RGB"
    grid = np.asarray(image.convert(mode).resize((size, size), Image.Resampling.BILINEAR))
    return grid[None] if channels == 1 else np.ascontiguousarray(grid.transpose(2, 0, 1))


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """An image whose decoder may raise whatever it likes.

    Raises:
        FedloraError: the file is no image, or may not be read.
    """
    try:
        with Image.open(file) as image:
            yield image
    except PermissionError as error:
        raise FedloraError(f"{file}: {error.strerror}; let this user read it") from error
    except Exception as error:
        raise FedloraError(f"{file}: not a readable image; remove it or save it again") from error
