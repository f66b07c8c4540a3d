"""Images with boxes, in the format that ICM-LoRA trains Florence-2 on."""

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Source, Table
from fedlora.tasks.detection.jsonl import read_annotations
from fedlora.tasks.detection.locations import to_text
from fedlora.tasks.image_files import ImageFiles


class Config(Section):
    """The lines' file, and where the images are.

    path: a JSONL file whose lines have id, image_path, height, width and suffix.
    images: the folder that relative image paths start from; the file's own when absent.
    size, channels: of images as they are held, in pixels and as 1 (grey) or 3 (colour); boxes do
        not change, since they are relative to width and height.
    """

    path: Path
    images: Path | None = None
    size: PositiveInt = 768
    channels: Literal[1, 3] = 3


class FlorenceJsonl(Source):
    """Images with labelled boxes, from a JSONL file in Florence-2's format."""

    Config = Config

    def load(self) -> Table:
        """Every line of the file; no test split of its own."""
        path = self.config.path.expanduser()
        if not path.is_file():
            raise FedloraError(f"{path}: no such file; check 'path' of source 'florence_jsonl'")
        root = path.parent if self.config.images is None else self.config.images.expanduser()
        annotations = read_annotations(path)
        if not annotations:
            raise FedloraError(f"{path}: holds no line")
        images = ImageFiles(
            tuple(root / one.path for one in annotations), self.config.size, self.config.channels
        )
        images.check()
        suffixes = [to_text(one.objects) for one in annotations]
        return Table("object-detection", Examples(images, suffixes=suffixes))
