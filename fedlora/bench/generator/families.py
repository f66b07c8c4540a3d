"""The families of tasks, and how their clients train."""

from typing import Any

from fedlora.config import RunConfig, from_dict

SEEDS = (1, 2, 3)
HELD_OUT = 24
ROUNDS = 8
"""Rounds of training that both sides get before clients fine-tune."""
FIRST = 2
"""Of these, rounds of plain averaging before growth."""

_SPLITS = {"train": 96, "validation": 8, "test": 150}
_ROUND = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-2}

FAMILIES: dict[str, dict[str, Any]] = {
    "rotation x corruption": {"name": "image_compositions", "bank": 36},
    "rotation x shear x inversion": {
        "name": "image_domains",
        "bank": 48,
        "factors": {
            "rotation": {"low": 0, "high": 180, "steps": 13},
            "shear": {"low": -40, "high": 40, "steps": 9},
            "inversion": [False, True],
        },
    },
}
"""In the first a neighbour shares one of two factors; the second is a sparse grid of three."""

GROWTH: dict[str, dict[str, Any]] = {
    "grown": {"name": "kriging", "noise": 0.3},
    "composed": {"name": "compositional", "noise": 0.3},
}
"""By what rounds can be generated for."""


def config(family: str, seed: int, way: str | None) -> RunConfig:
    """One bank: tasks and training follow from the seed.

    way: how rounds are used after the first, one of `GROWTH`; None for plain averaging.
    """
    growth: dict[str, Any] = {"rounds": 0}
    if way is not None:
        growth = {"rounds": ROUNDS - FIRST, "train": _ROUND, "generator": GROWTH[way]}
    raw = {
        "name": "bench",
        "seeds": [seed],
        "backbone": {"name": "tiny_vit"},
        "lora": {"rank": 4, "alpha": 8},
        "tasks": {**FAMILIES[family], "held_out": HELD_OUT, "splits": _SPLITS, "seed": seed},
        "warm_start": {"rounds": FIRST if way else ROUNDS, "train": _ROUND},
        "growth": growth,
        "finetune": {"epochs": 4, "batch_size": 16, "learning_rate": 5e-3},
        "task_vector": {"samples": 96, "features": ["early"]},
        "runtime": {"training": "batched", "group": 12},
    }
    return from_dict(raw, f"bench generator, {family}")
