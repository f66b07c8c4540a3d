"""Tasks of the bank itself: generated adapters beside the trained ones they were learned from."""

from collections.abc import Sequence
from typing import Any

import torch

from fedlora.adapter import LoraAdapter
from fedlora.bench.claims import interval_claim
from fedlora.client.client import Client
from fedlora.client.trial import score
from fedlora.finetune.local import fresh
from fedlora.generators.saved import load_generator
from fedlora.pipeline.workshop import Workshop
from fedlora.results import Claim
from fedlora.server.observer import Observer

RANKS = (1, 2, 4, 8)
POINTS = 100.0
WITHIN = -0.5

Row = dict[str, Any]


def known_rows(workshop: Workshop, rank: int, observer: Observer) -> list[Row]:
    """Every method's scores on every task's test examples; a row a task and method.

    Of several samples of a task, the last is the trained one. `shuffled` is made for another task.
    """
    bank = workshop.bank()
    last = {record.task: record for record in bank.records() if record.rank == rank}
    vectors = torch.stack([bank.vector(record) for record in last.values()])
    generator = load_generator(workshop.generator_folder)
    made = generator.sample(vectors, seed=workshop.seed, rank=rank)
    # Neighbours in name order are often alike: half the bank away is another task indeed.
    others = vectors.roll(len(vectors) // 2, 0)
    shuffled = generator.sample(others, seed=workshop.seed, rank=rank)
    client = Client(workshop.config.with_rank(rank), workshop.seed)
    rows = []
    observer.phase(f"scores, rank {rank}", len(last))
    for number, (task, record) in enumerate(last.items()):
        desk = client.desk(record.client)
        methods: dict[str, LoraAdapter] = {
            "base": fresh(desk.objective, 0),
            "trained": bank.load(record.digest),
            "generated": made[number],
            "shuffled": shuffled[number],
        }
        for method, adapter in methods.items():
            found = score(desk.objective, adapter, desk.test)
            rows.append({"task": task, "rank": rank, "method": method, **found})
        observer.advance()
    return rows


def within(rows: Sequence[Row], metric: str, what: str) -> Claim:
    """G3: generated against trained, in points, task by task; tasks of several banks averaged."""
    reached: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        reached.setdefault((row["task"], row["method"]), []).append(row[metric])
    mean = {key: sum(values) / len(values) for key, values in reached.items()}
    tasks = sorted({task for task, _ in mean})
    ahead = [POINTS * (mean[task, "generated"] - mean[task, "trained"]) for task in tasks]
    return interval_claim("G3", what, ahead, ">=", WITHIN, "points")
