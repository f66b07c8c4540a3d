"""Boxes as text: a label, then four location tokens of 0 to 999, as Florence-2 writes them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fedlora.errors import FedloraError

BINS = 1000
Box = tuple[float, float, float, float]
Bins = tuple[int, int, int, int]

_OBJECT = re.compile(r"([^<>]*)((?:<loc_\d{1,3}>)+)")
_LOCATION = re.compile(r"<loc_(\d{1,3})>")


@dataclass(frozen=True)
class Found:
    """One object: its label, and its box as bins (x1, y1, x2, y2) of width and height."""

    label: str
    bins: Bins


def quantise(box: Box, width: float, height: float) -> Bins:
    """The bins that a box in pixels falls into, floor(1000 x / width), within 0 to 999.

    `dequantise` gives the middle of a bin, so the two together move a coordinate inside the image
    by at most half a bin, width / 2000 or height / 2000, and quantising again changes nothing.
    """
    x1, y1, x2, y2 = box
    return _bin(x1, width), _bin(y1, height), _bin(x2, width), _bin(y2, height)


def dequantise(bins: Bins, width: float, height: float) -> Box:
    """The box in pixels (x1, y1, x2, y2) whose corners are the middles of the bins."""
    x1, y1, x2, y2 = ((value + 0.5) / BINS for value in bins)
    return x1 * width, y1 * height, x2 * width, y2 * height


def to_text(objects: Sequence[Found]) -> str:
    """Such as "dog<loc_120><loc_85><loc_340><loc_250> person<loc_50><loc_30><loc_150><loc_200>"."""
    return " ".join(o.label + "".join(f"<loc_{value}>" for value in o.bins) for o in objects)


def from_text(text: str) -> list[Found]:
    """The inverse of `to_text`; one label may be followed by several boxes.

    Raises:
        FedloraError: anything is left over, a box lacks a corner, or a label is missing.
    """
    objects, end = [], 0
    for match in _OBJECT.finditer(text):
        if text[end : match.start()].strip():
            break
        label, values = match[1].strip(), [int(v) for v in _LOCATION.findall(match[2])]
        if not label or len(values) % 4:
            raise FedloraError(
                f"'{match[0].strip()[:80]}': write a label and four <loc_0> to <loc_999> a box"
            )
        objects += [Found(label, bins) for bins in _fours(values)]
        end = match.end()
    if text[end:].strip():
        raise FedloraError(
            f"'{text[end:].strip()[:80]}': write a label and four <loc_0> to <loc_999> a box"
        )
    return objects


def _bin(value: float, size: float) -> int:
    return min(max(int(value * BINS // size), 0), BINS - 1)


def _fours(values: Sequence[int]) -> list[Bins]:
    corners = iter(values)
    return list(zip(corners, corners, corners, corners, strict=False))
