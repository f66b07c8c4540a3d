"""ICM-LoRA's detection files: a JSON object a line, its objects as Florence-2 writes them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora import atomic
from fedlora.errors import FedloraError
from fedlora.tasks.detection.locations import Box, Found, dequantise, from_text, quantise, to_text
from fedlora.tasks.records import read_records

MOST = 1_000_000
"""Pixels along a side of an image."""


@dataclass(frozen=True)
class Annotated:
    """One image and its objects.

    id: of the image; path: of its file, as it stands in the line.
    height, width: in pixels.
    objects: labels and boxes in location bins.
    """

    id: str
    path: str
    height: int
    width: int
    objects: tuple[Found, ...]

    def boxes(self) -> list[tuple[str, Box]]:
        """Labels and boxes in pixels, each corner the middle of its bin."""
        return [(o.label, dequantise(o.bins, self.width, self.height)) for o in self.objects]


def annotate(
    name: str, path: str, height: int, width: int, boxes: Sequence[tuple[str, Box]]
) -> Annotated:
    """An image, called `name`, with labels and boxes (x1, y1, x2, y2) in pixels.

    Raises:
        FedloraError: a label is empty or holds < or >.
    """
    for label, _ in boxes:
        if not label.strip() or set("<>") & set(label):
            raise FedloraError(f"label '{label}': it must be text without < and >")
    found = tuple(Found(label.strip(), quantise(box, width, height)) for label, box in boxes)
    return Annotated(name, path, height, width, found)


def read_annotations(file: Path) -> list[Annotated]:
    """Every line of a file.

    Raises:
        FedloraError: a line is no such object; the message names it.
    """
    return [_annotated(place, row) for place, row in read_records(file)]


def write_annotations(file: Path, annotations: Sequence[Annotated]) -> None:
    """The file that `read_annotations` reads, whole or not at all."""
    lines = [
        json.dumps(
            {
                "id": one.id,
                "image_path": one.path,
                "height": one.height,
                "width": one.width,
                "suffix": to_text(one.objects),
            },
            ensure_ascii=False,
        )
        for one in annotations
    ]
    atomic.write_text(file, "".join(f"{line}\n" for line in lines))


def _annotated(place: str, row: dict[str, Any]) -> Annotated:
    try:
        height, width = int(row["height"]), int(row["width"])
        if not 1 <= height <= MOST or not 1 <= width <= MOST:
            raise FedloraError(f"height and width must be from 1 to {MOST:,} pixels")
        objects = tuple(from_text(str(row["suffix"])))
        return Annotated(str(row["id"]), str(row["image_path"]), height, width, objects)
    except KeyError as error:
        raise FedloraError(
            f"{place}: no {error}; a line has id, image_path, height, width and suffix"
        ) from None
    except (FedloraError, ValueError, TypeError, OverflowError) as error:
        raise FedloraError(f"{place}: {error}") from None
