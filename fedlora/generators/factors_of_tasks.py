"""What tasks are made of, by their names: rotation=30,corruption=blur, or rotation=30+blur."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

MOST_CELLS = 20_000


@dataclass(frozen=True)
class Structure:
    """How alike two cells are, from how alike their levels are, factor by factor.

    interactions: whether combinations of levels count beside the levels themselves.
    smooth: over how many usual steps levels that are numbers are alike; 0 is not at all.
    """

    interactions: bool
    smooth: float


@dataclass(frozen=True)
class Factors:
    """Factors with their levels; a cell is a combination of one level each.

    levels: by factor, in order: as numbers where all are, else by name.
    tasks: (t, f) the place of each task's level in that order.
    """

    levels: dict[str, tuple[str, ...]]
    tasks: Tensor

    @classmethod
    def of(cls, names: Sequence[str]) -> Self | None:
        """From the keys that all names have and whose levels recur; None where there are none.

        Parts that a plus sign joins, as `image_compositions` does, are factors by their place, one
        that has a key in all names by that key. None as well where levels combine to more than
        20,000 cells.
        """
        told = _placed(names) or [_pairs(name) for name in names]
        keys = [key for key in (told[0] if told else {}) if all(key in one for one in told)]
        found = {key: _ordered({one[key] for one in told}) for key in keys}
        levels = {key: has for key, has in found.items() if 1 < len(has) < len(names)}
        if not levels or math.prod(len(has) for has in levels.values()) > MOST_CELLS:
            return None
        places = [[has.index(one[key]) for key, has in levels.items()] for one in told]
        return cls(levels, torch.tensor(places))

    def cells(self) -> Tensor:
        """Every combination of levels, (n, f)."""
        ranges = (range(len(has)) for has in self.levels.values())
        return torch.tensor(list(itertools.product(*ranges)))

    def likeness(self, one: Tensor, two: Tensor, structure: Structure) -> Tensor:
        """Covariance (m, n) float64 of cells (m, f) and (n, f), 1 of a cell with itself.

        Additive: mean_f k_f. With interactions: (prod_f (1 + k_f) - 1) / (2^F - 1), of which the
        first is a part. k_f is 1 between equal levels; between others it is 0, or
        exp(-(steps apart)^2 / (2 smooth^2)) where they are numbers. These are the kernels of
        functional ANOVA (Durrande et al. 2013, arXiv 1111.6233).
        """
        tables = (_table(has, structure.smooth) for has in self.levels.values())
        kernels = [table[one[:, place]][:, two[:, place]] for place, table in enumerate(tables)]
        if not structure.interactions:
            return torch.stack(kernels).mean(0)
        whole: Tensor = torch.stack([1 + kernel for kernel in kernels]).prod(0) - 1
        return whole / (2.0 ** len(kernels) - 1)


def _placed(names: Sequence[str]) -> list[dict[str, str]] | None:
    """Levels by place; None unless all names have as many parts, and one has its key in all."""
    parts = [name.split("+") for name in names]
    count = len(parts[0]) if parts else 0
    if count < 2 or any(len(one) != count for one in parts):
        return None
    columns = dict[str, list[str]]()
    for place, column in enumerate(zip(*parts, strict=True)):
        pairs = [_pairs(part) for part in column]
        keys = {key for one in pairs for key in one}
        keyed = len(keys) == 1 and all(len(one) == 1 for one in pairs)
        key = keys.pop() if keyed else f"part {place}"
        columns[key] = [one[key] for one in pairs] if keyed else list(column)
    if all(key.startswith("part ") for key in columns):
        return None  # sets of names, whose places mean nothing
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _pairs(task: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in task.split(","))
    return {key.strip(): value.strip() for key, sign, value in pairs if sign}


def _number(level: str) -> float | None:
    try:
        value = float(level)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _ordered(levels: set[str]) -> tuple[str, ...]:
    numbers = {level: _number(level) for level in levels}
    if any(value is None for value in numbers.values()):
        return tuple(sorted(levels))
    return tuple(sorted(levels, key=lambda level: (numbers[level] or 0.0, level)))


def _table(levels: Sequence[str], smooth: float) -> Tensor:
    """(l, l) float64, how alike a factor's levels are."""
    numbers = [value for level in levels if (value := _number(level)) is not None]
    same = torch.eye(len(levels), dtype=torch.float64)
    if not smooth or len(numbers) < len(levels):
        return same
    values = torch.tensor(numbers, dtype=torch.float64)
    step = values.diff().median().clamp_min(1e-12)
    apart: Tensor = (values.unsqueeze(1) - values) / (smooth * step)
    return torch.exp(-(apart**2) / 2)
