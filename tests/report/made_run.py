"""A run folder as a run writes it, small and made up, for the tests of the report."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fedlora.evaluation.table import Row, rows, summarise
from tests.report import made_seed

METHODS = {
    "base": 0.0,
    "warm": 0.31,
    "mean": 0.35,
    "nearest": 0.78,
    "topk": 0.84,
    "ridge": 0.88,
    "generated": 0.93,
    "shuffled": 0.12,
    "zero_one_epoch": 0.46,
    "generated_one_epoch": 0.97,
    "few_labels": 0.52,
    "local": 1.0,
}
CONFIG = """\
name: made
seeds: [0, 1]
backbone: {name: tiny_vit}
tasks: {name: image_domains}
generator: {name: cvae}
lora: {rank: 4, alpha: 8.0}
evaluation: {few_labels: 32}
"""


def make(
    parent: Path,
    *,
    tasks: list[str] | None = None,
    closes: dict[str, float] | None = None,
    seeds: int = 2,
    metric: str = "accuracy",
    folders: bool = False,
) -> Path:
    """A finished run; `closes` sets the share of the gap that a method closes on average.

    With `folders`, the seeds' own folders are made too.
    """
    run = parent / "made_20250102_030405"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(CONFIG)
    rng = np.random.default_rng(0)
    names = tasks or [f"rotation={5 * i - 30},contrast={0.4 + 0.1 * i:.1f}" for i in range(12)]
    found = _rows(names, METHODS | (closes or {}), seeds, metric, rng)
    (run / "results.json").write_text(json.dumps(_results(found, seeds, metric)))
    for seed in range(seeds if folders else 0):
        made_seed.make(run / f"seed-{seed}", newcomers=names, rng=rng)
    return run


def _rows(
    names: list[str], closes: dict[str, float], seeds: int, metric: str, rng: np.random.Generator
) -> list[Row]:
    higher = metric != "nll"
    starts, ends = ((0.45, 0.7), (0.78, 0.88)) if higher else ((3.2, 3.9), (2.1, 2.6))
    span = {name: (rng.uniform(*starts), rng.uniform(*ends)) for name in names}
    found = []
    for seed in range(seeds):
        for client, task in enumerate(names):
            base, local = span[task]
            values = {
                method: base
                + share * (local - base)
                + (0 if method in ("base", "local") else 0.07 * rng.normal() * (local - base))
                for method, share in closes.items()
            }
            found += rows(seed, task, 24 + client, values, higher)
    return found


def _results(found: list[Row], seeds: int, metric: str) -> dict[str, Any]:
    return {
        "metric": metric,
        "higher_is_better": metric != "nll",
        "finished": True,
        "seeds": list(range(seeds)),
        "rows": [asdict(row) for row in found],
        "summary": [asdict(line) for line in summarise(found)],
        "bytes": {
            "up": 3_120_000,
            "down": 2_410_000,
            "fedavg_lora": 61_000_000,
            "full_finetuning": 2_480_000_000,
            "by_purpose": {},
        },
        "lost": [
            {
                "seed": 0,
                "phase": "warm_start",
                "round": 2,
                "client": 7,
                "reason": "adapter tensor 'blocks.0.q.down' holds NaN",
            },
            {
                "seed": 1,
                "phase": "finetune",
                "round": 11,
                "client": 3,
                "reason": "no answer within 60 s",
            },
        ],
        "seconds": 372.4,
        "peak_memory_bytes": 1_430_000_000,
        "fingerprint": {
            str(seed): {"bank": "5d41402abc4b2a76", "generator": "7d793037a076"}
            for seed in range(seeds)
        },
    }
