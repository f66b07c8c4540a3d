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
OWN, ALL, CUT = "the rank alone", "all ranks", "the largest rank, cut"
"""What a generator learned from. The last is there to be compared with."""
CLAIMED = {OWN: "", ALL: ", one generator of all ranks"}
"""Of these, how a claim says so."""

Row = dict[str, Any]


def measure(
    seed: int, family: Family = DENSE, tasks: int = TASKS, ranks: Sequence[int] = RANKS
) -> Row:
    """Train every task of a bank at every rank, and generate what was trained.

    Generators learn from the last two checkpoints of every task: one for each rank, of which that
    of the largest is asked for the others too, and one of all ranks.
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
        for name, part in GENERATORS.items():
            taught = GeneratorPart.model_validate(part)
            for rank in ranks:
                train_generator(workshop, taught, rank, Silent())
                rows += _rows(workshop, name, OWN, [rank])
                if rank == max(ranks):
                    rows += _rows(workshop, name, CUT, ranks)
            train_generator(workshop, taught, None, Silent())
            rows += _rows(workshop, name, ALL, ranks)
    return {"rows": rows}


def _rows(workshop: Workshop, generator: str, learned: str, ranks: Sequence[int]) -> list[Row]:
    """What the workshop's generator is worth at some ranks."""
    told = {"generator": generator, "learned from": learned}
    return [told | row for rank in ranks for row in known_rows(workshop, rank, Silent())]


def rank_claims(rows: Sequence[Row]) -> list[Claim]:
    """One a generator and rank, of those that learned from the rank alone and from all."""
    claims = []
    for name in GENERATORS:
        for learned, how in CLAIMED.items():
            for rank in sorted({row["rank"] for row in rows}):
                own = [row for row in rows if _place(row) == (name, learned, rank)]
                what = f"{name} over trained on the bank's own tasks, rank {rank}{how}"
                claims.append(within(own, "accuracy", what))
    return claims


def rank_rows(rows: Sequence[Row]) -> list[Row]:
    """Mean accuracy by generator, what it learned from and rank, a column a method."""
    found: dict[tuple[str, str, int], dict[str, list[float]]] = {}
    for row in rows:
        place = found.setdefault(_place(row), {m: [] for m in METHODS})
        place[row["method"]].append(row["accuracy"])
    return [
        {"table": "ranks", "generator": name, "learned from": learned, "rank": rank}
        | {method: sum(values) / len(values) for method, values in methods.items()}
        for (name, learned, rank), methods in found.items()
    ]


def _place(row: Row) -> tuple[str, str, int]:
    return row["generator"], row["learned from"], row["rank"]
