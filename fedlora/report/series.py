"""metrics.jsonl as named curves: the same points for the plots, TensorBoard and the trackers."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from fedlora.report.run_folder import Record

_PLACE = ("phase", "round", "epoch", "epochs", "step", "client", "seed")


class Point(NamedTuple):
    """One value of one curve; `tag` is phase/name."""

    tag: str
    step: int
    value: float


def points(metrics: Iterable[Record]) -> list[Point]:
    """Every number of every record, averaged over the clients of a step, sorted by tag and step.

    The step is the record's epoch or round. A record without either is one of a list of
    clients, and its losses of each epoch are curves over epochs.
    """
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for record in metrics:
        for tag, step, value in _points(record):
            found[tag, step].append(value)
    return [Point(*key, sum(values) / len(values)) for key, values in sorted(found.items())]


def curve(record: Record, name: str) -> list[float]:
    """The finite start of a list of one number an epoch; empty without one."""
    values = record.get(name)
    numbers: list[float] = []
    for value in values if isinstance(values, list) else []:
        number = finite(value)
        if number is None:
            break
        numbers.append(number)
    return numbers


def finite(value: object) -> float | None:
    """The number, unless it is none, or none that can be drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def step(record: Record) -> int:
    """Epoch, round or step of a record, 0 without one."""
    for name in ("epoch", "round", "step"):
        if isinstance(record.get(name), int):
            return int(record[name])
    return 0


def numbers(record: Record) -> Mapping[str, float]:
    """The named measurements of a record, its place in the run left out."""
    named = {key: finite(value) for key, value in record.items() if key not in _PLACE}
    return {key: value for key, value in named.items() if value is not None}


def _points(record: Record) -> Iterator[Point]:
    phase = str(record.get("phase", "run"))
    for name, value in numbers(record).items():
        yield Point(f"{phase}/{name}", step(record), value)
    if record.get("round"):
        return  # its step is the round, and the epochs within it are another axis
    for key, name in (("curve", "training_loss"), ("validation", "validation_loss")):
        for epoch, value in enumerate(curve(record, key), start=1):
            yield Point(f"{phase}/{name}", epoch, value)
