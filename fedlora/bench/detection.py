"""Detection in miniature: generated adapters beside the trained ones they were learned from."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fedlora.adapter import LoraAdapter
from fedlora.bench.claims import interval_claim
from fedlora.client.client import Client
from fedlora.client.trial import score
from fedlora.config import RunConfig, from_dict
from fedlora.finetune.local import fresh
from fedlora.generators.saved import load_generator
from fedlora.pipeline.learn import train_generator
from fedlora.pipeline.train import train_adapters
from fedlora.pipeline.workshop import Workshop
from fedlora.results import BenchResults, Claim, write_results
from fedlora.server.observer import Observer

RANKS = (1, 2, 4, 8)
TASKS = 4
COMMAND = "make bench-detection"
POINTS = 100.0


def settings(tasks: int) -> RunConfig:
    """configs/icm_detection.yaml in small: scenes, the shipped Florence-2, its rates and epochs."""
    return from_dict(
        {
            "name": "detection",
            "backbone": {"name": "tiny_florence", "max_length": 32},
            "lora": {
                "alpha": 8,
                "dropout": 0.05,
                "targets": ["q_proj", "k_proj", "v_proj", "out_proj", "fc2", "lm_head"],
            },
            "tasks": {
                "name": "detection_classes",
                "source": {"name": "item_scenes", "train": 1500, "test": 600},
                "bank": tasks,
                "min_examples": 30,
                "splits": {"train": 96, "validation": 8, "test": 40},
            },
            "warm_start": {"rounds": 0},
            "finetune": {"epochs": 6, "batch_size": 16, "learning_rate": 3e-3, "checkpoints": 2},
            "task_vector": {"samples": 30, "features": ["pooled"]},
            "generator": {"name": "cvae", "training": {"epochs": 500}},
        },
        origin="bench detection",
    )


def bench_detection(
    out: Path, observer: Observer, ranks: Sequence[int] = RANKS, tasks: int = TASKS
) -> BenchResults:
    """Measure claim G3 on detection and write it.

    Every class of item is a task; each rank has a generator of its own, learned from the last
    checkpoints of every task. The tasks are those of the bank, as in ICM-LoRA.

    Args:
        out: the results file.
        observer: told how far it is.
        ranks: of the adapters.
        tasks: how many classes.

    Raises:
        FedloraError: the results cannot be written.
    """
    started = time.perf_counter()
    config, rows = settings(tasks), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop.begin(config, Path(folder))
        train_adapters(workshop, ranks, [], observer)
        for rank in ranks:
            train_generator(workshop, config.generator, rank, observer)
            rows += _measured(workshop, rank, observer)
    claims = [_within(rows, rank) for rank in ranks]
    elapsed = time.perf_counter() - started
    return write_results(out, "detection", COMMAND, rows, claims, config.seeds, elapsed)


def _measured(workshop: Workshop, rank: int, observer: Observer) -> list[dict[str, Any]]:
    """Average precision of every method on every task's test images."""
    bank = workshop.bank()
    last = {record.task: record for record in bank.records() if record.rank == rank}
    vectors = torch.stack([bank.vector(record) for record in last.values()])
    generator = load_generator(workshop.generator_folder)
    made = generator.sample(vectors, seed=workshop.seed, rank=rank)
    shuffled = generator.sample(vectors.roll(1, 0), seed=workshop.seed, rank=rank)
    client = Client(workshop.config.with_rank(rank), workshop.seed)
    rows = []
    observer.phase(f"average precision, rank {rank}", len(last))
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


def _within(rows: Sequence[dict[str, Any]], rank: int) -> Claim:
    """Generated against trained, in points of average precision, task by task."""
    reached = {(row["task"], row["method"]): row["map"] for row in rows if row["rank"] == rank}
    tasks = sorted({task for task, _ in reached})
    ahead = [POINTS * (reached[task, "generated"] - reached[task, "trained"]) for task in tasks]
    what = f"generated over trained on the bank's own detection tasks, rank {rank}"
    return interval_claim("G3", what, ahead, ">=", -0.5, "points of mAP")
