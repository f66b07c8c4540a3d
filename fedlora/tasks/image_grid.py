"""Which combinations of image factors are tasks: a grid, its corners always in the bank."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field, FiniteFloat, ValidationError

from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.image_transform import ImageTransform

ORDERED = ("rotation", "shear", "blur", "contrast", "noise")
DIGITS = 6


class Range(Section):
    """`steps` evenly spaced values from `low` to `high`, both included."""

    low: FiniteFloat
    high: FiniteFloat
    steps: int = Field(ge=2)


class Factors(Section):
    """The values of each factor, as a list or a range; a factor left out does not vary."""

    rotation: tuple[FiniteFloat, ...] | Range = (0.0,)
    shear: tuple[FiniteFloat, ...] | Range = (0.0,)
    blur: tuple[FiniteFloat, ...] | Range = (0.0,)
    contrast: tuple[FiniteFloat, ...] | Range = (1.0,)
    noise: tuple[FiniteFloat, ...] | Range = (0.0,)
    inversion: tuple[bool, ...] = (False,)

    def values(self, name: str) -> tuple[float, ...]:
        """Sorted distinct values of one factor."""
        given = getattr(self, name)
        if isinstance(given, Range):
            spaced = np.linspace(given.low, given.high, given.steps).tolist()
            given = [round(value, DIGITS) for value in spaced]
        return tuple(sorted(set(given)))


def sample_grid(
    factors: Factors, bank: int, held_out: int, outside: int, rng: np.random.Generator
) -> tuple[list[ImageTransform], list[ImageTransform]]:
    """The bank's transforms and the newcomers'.

    The bank takes the grid's corners and then random points; newcomers take random other points,
    which the corners enclose. `outside` of them go one step beyond an end of one factor.

    Raises:
        FedloraError: the grid is too small, or the bank too small for the corners.
    """
    values = {name: factors.values(name) for name in (*ORDERED, "inversion")}
    points = _points(values)
    corners = _points({name: sorted({v[0], v[-1]}) for name, v in values.items() if v})
    inner = [point for point in points if point not in corners]
    wanted = bank + held_out - outside
    if len(points) < wanted:
        raise FedloraError(
            f"tasks.factors: the grid has {len(points)} combinations, {wanted} are needed; give the"
            " factors more values, or lower bank or held_out"
        )
    if bank < len(corners):
        raise FedloraError(
            f"tasks.bank: {bank} tasks cannot hold the {len(corners)} corners of the grid;"
            " raise bank or vary fewer factors"
        )
    order = rng.permutation(len(inner))
    cut = bank - len(corners)
    filled = [*corners, *(inner[i] for i in order[:cut])]
    inside = [inner[i] for i in order[cut : cut + held_out - outside]]
    beyond = _beyond(values, outside, rng)
    return [_transform(p) for p in filled], [*(_transform(p) for p in inside), *beyond]


Point = dict[str, float]


def _points(values: Mapping[str, Sequence[float]]) -> list[Point]:
    return [
        dict(zip(values, combination, strict=True))
        for combination in itertools.product(*values.values())
    ]


def _beyond(
    values: dict[str, tuple[float, ...]], count: int, rng: np.random.Generator
) -> list[ImageTransform]:
    """Points one step outside one factor's range, as far as that factor allows."""
    found = []
    for name in ORDERED:
        known = values[name]
        if len(known) < 2:
            continue
        for new in (2 * known[0] - known[1], 2 * known[-1] - known[-2]):
            points = _points({**values, name: (round(new, DIGITS),)})
            found += [point for point in points if _valid(point)]
    if len(found) < count:
        raise FedloraError(
            f"tasks.out_of_range: {len(found)} combinations lie one step outside, {count} are"
            " needed; lower out_of_range or held_out"
        )
    return [_transform(found[i]) for i in rng.permutation(len(found))[:count]]


def _transform(point: Point) -> ImageTransform:
    try:
        return ImageTransform.model_validate(point)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(step) for step in first["loc"])
        raise FedloraError(
            f"tasks.factors.{key}: {first['msg']} (got {first['input']!r})"
        ) from None


def _valid(point: Point) -> bool:
    try:
        ImageTransform.model_validate(point)
    except ValidationError:
        return False
    return math.isfinite(sum(point.values()))
