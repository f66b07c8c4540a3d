"""Known tasks at every rank: generated adapters beside the trained ones (G3)."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedlora.bench.generator.families import DENSE, Family
from fedlora.bench.known import RANKS, known_rows, within
from fedlora.config import GeneratorPart
from fedlora.pipeline.learn import train_generator
from fedlora.pipeline.train import train_adapters
from fedlora.pipeline.workshop import Workshop
from fedlora.results import Claim
from fedlora.server.observer import Silent

GENERATORS: dict[str, dict[str, Any]] = {"cvae": {"name": "cvae"}, "kriging": {"name": "kriging"}}
TASKS = 16
METHODS = ("base", "trained", "generated", "shuffled")

Row = dict[str, Any]


def measure(
    seed: int, family: Family = DENSE, tasks: int = TASKS, ranks: Sequence[int] = RANKS
) -> Row:
    """Train every task of a bank at every rank, and generate what was trained.

    Each rank has a generator of its own, which learns from the last two checkpoints of every task.
    """
    few = {**family.tasks, "bank": tasks, "held_out": 1, "seed": seed}
    rounds: dict[str, Any] = {
        "warm_start": {"rounds": family.rounds // 2},
        "finetune": {"checkpoints": 2},
    }
    config = family.config(seed, tasks=few, **rounds)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop.begin(config, Path(folder))
        train_adapters(workshop, ranks, [], Silent())
        for rank in ranks:
            for name, part in GENERATORS.items():
                train_generator(workshop, GeneratorPart.model_validate(part), rank, Silent())
                found = known_rows(workshop, rank, Silent())
                rows += [{"generator": name, **row} for row in found]
    return {"rows": rows}


def rank_claims(rows: Sequence[Row]) -> list[Claim]:
    """One a generator and rank."""
    claims = []
    for name in GENERATORS:
        for rank in sorted({row["rank"] for row in rows}):
            own = [row for row in rows if (row["generator"], row["rank"]) == (name, rank)]
            what = f"{name} over trained on the bank's own tasks, rank {rank}"
            claims.append(within(own, "accuracy", what))
    return claims


def rank_rows(rows: Sequence[Row]) -> list[Row]:
    """Mean accuracy by generator and rank, a column a method."""
    found: dict[tuple[str, int], dict[str, list[float]]] = {}
    for row in rows:
        place = found.setdefault((row["generator"], row["rank"]), {m: [] for m in METHODS})
        place[row["method"]].append(row["accuracy"])
    return [
        {"table": "ranks", "generator": name, "rank": rank}
        | {method: sum(values) / len(values) for method, values in methods.items()}
        for (name, rank), methods in found.items()
    ]
