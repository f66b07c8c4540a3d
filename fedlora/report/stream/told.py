"""stream.json of each seed, as far as it can be read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedlora.report.run_folder import RunFolder
from fedlora.report.series import finite

Matrix = list[list[float | None]]


@dataclass(frozen=True)
class Told:
    """One seed's stream.

    tasks: names in order. within, among: accuracy by step and task, of the test split.
    memory: by step, the remembered share of each layer's input space; empty without one.
    dims: by step, how many dimensions of it that is.
    """

    seed: int
    tasks: tuple[str, ...]
    within: Matrix
    among: Matrix
    memory: list[dict[str, float]]
    dims: list[dict[str, int]]


def read_told(run: RunFolder) -> list[Told]:
    """The seeds that are finished, in their order."""
    found = []
    for seed in run.seeds:
        path = seed.path / "stream.json"
        if path.is_file():
            found.append(_told(seed.seed, json.loads(path.read_text(encoding="utf-8"))))
    return found


def mean_matrix(matrices: Sequence[Matrix]) -> Matrix:
    """The mean over seeds of each entry, where all seeds have it."""
    return [
        [_mean(cells) for cells in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)
    ]


def _told(seed: int, raw: dict[str, Any]) -> Told:
    steps = raw["steps"]
    return Told(
        seed=seed,
        tasks=tuple(map(str, raw["tasks"])),
        within=[[finite(x) for x in step["within"]["test"]] for step in steps],
        among=[[finite(x) for x in step["among"]["test"]] for step in steps],
        memory=[
            {name: size / step["width"][name] for name, size in step["memory"].items()}
            for step in steps
        ],
        dims=[dict(step["memory"]) for step in steps],
    )


def _mean(cells: Sequence[float | None]) -> float | None:
    known = [cell for cell in cells if cell is not None]
    return sum(known) / len(known) if len(known) == len(cells) else None
