"""Detection in miniature: generated adapters beside the trained ones they were learned from."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedlora.bench.known import RANKS, known_rows, within
from fedlora.config import RunConfig, from_dict
from fedlora.pipeline.learn import train_generator
from fedlora.pipeline.train import train_adapters
from fedlora.pipeline.workshop import Workshop
from fedlora.results import BenchResults, write_results
from fedlora.server.observer import Observer

TASKS = 4
"""Of the twenty classes, the first."""
COMMAND = "make bench-detection"


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

    Each of the first classes of items is a task; each rank has a generator of its own, learned
    from the last checkpoints of every task. The tasks are those of the bank, as in ICM-LoRA.

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
            rows += known_rows(workshop, rank, observer)
    what = "generated over trained on the bank's own detection tasks, in mAP, rank"
    claims = [
        within([row for row in rows if row["rank"] == rank], "map", f"{what} {rank}")
        for rank in ranks
    ]
    elapsed = time.perf_counter() - started
    return write_results(out, "detection", COMMAND, rows, claims, config.seeds, elapsed)
