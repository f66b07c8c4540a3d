"""Which tasks belong together, read from their names alone, for the colours of the maps."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

SCALE = ("scale_1", "scale_2", "scale_3", "scale_4", "scale_5")
_HUES = ("generated", "nearest", "topk", "ridge", "mean", "few_labels")


@dataclass(frozen=True)
class Groups:
    """title: what the colours mean, empty where they mean nothing.

    roles: the palette's role of each task. legend: label and role of each colour.
    """

    title: str
    roles: list[str]
    legend: list[tuple[str, str]]


def groups(tasks: Sequence[str]) -> Groups:
    """Colours by the first factor that every name gives a number of, as rotation=40,blur=1 does.

    Without one, by the first word of the names where there are two to six of those; otherwise
    one colour for all.
    """
    for factor in _factors(tasks[0]) if tasks else ():
        values = [_factors(task).get(factor, math.nan) for task in tasks]
        if all(map(math.isfinite, values)) and len(set(values)) > 2:
            return _scale(factor, values)
    words = [re.split(r"[=:/,.]", task)[0] for task in tasks]
    kinds = sorted(set(words))
    if not 2 <= len(kinds) <= len(_HUES):
        return Groups("", ["generated"] * len(tasks), [])
    hue = dict(zip(kinds, _HUES, strict=False))
    return Groups("kind of task", [hue[word] for word in words], list(hue.items()))


def _factors(task: str) -> dict[str, float]:
    found = re.findall(r"(?:^|,)([^=,]+)=([-+]?\d[\d.e+-]*)(?=,|$)", task)
    numbers = {}
    for name, text in found:
        try:
            numbers[name] = float(text)
        except ValueError:
            continue
    return numbers


def _scale(factor: str, values: Sequence[float]) -> Groups:
    """Five bins of equal width between the least and the greatest value."""
    low, high = min(values), max(values)
    width = (high - low) / len(SCALE)
    bins = [min(int((value - low) / width), len(SCALE) - 1) for value in values]
    ends = [f"{low + i * width:.3g}".replace("-", "−") for i in range(len(SCALE) + 1)]
    spans = [f"{ends[i]} to {ends[i + 1]}" for i in range(len(SCALE))]
    return Groups(factor, [SCALE[i] for i in bins], list(zip(spans, SCALE, strict=True)))
