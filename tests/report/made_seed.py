"""What one seed of a run leaves behind, small and made up: a real bank, made-up measurements."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.bank import Bank, Record

CLIENTS = 10


def make(folder: Path, *, newcomers: list[str], rng: np.random.Generator) -> None:
    """Fill a new folder."""
    folder.mkdir()
    _lines(folder / "metrics.jsonl", _metrics(rng))
    _lines(folder / "ledger.jsonl", _ledger())
    (folder / "reconstruction.json").write_text(json.dumps(_reconstruction(rng)))
    bank = [f"rotation={15 * (i % 5) - 30},contrast={0.4 + i // 5:g}" for i in range(CLIENTS)]
    _bank(folder / "bank", bank, rng)
    _bank(folder / "newcomers", newcomers, rng)


def _metrics(rng: np.random.Generator) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for turn in range(1, 11):
        for client in range(CLIENTS):
            out.append(
                {
                    "phase": "warm_start",
                    "round": turn,
                    "client": client,
                    "task": f"bank={client}",
                    "accuracy": 0.6,
                    "examples": 200,
                    "seconds": 0.4,
                    "loss": 1.6 / turn**0.5 + 0.1 * rng.standard_normal(),
                }
            )
    for client in range(CLIENTS):
        curve = [0.5 + 0.4 / (e + 1) + 0.05 * rng.standard_normal() for e in range(8)]
        out.append(
            {
                "phase": "finetune",
                "round": 11,
                "client": client,
                "task": f"bank={client}",
                "loss": curve[-1],
                "validation": curve,
                "seconds": 3.1,
                "curve": curve,
            }
        )
    for epoch in range(1, 61):
        out.append(
            {
                "phase": "generator",
                "epoch": epoch,
                "loss": 1.2 * 0.95**epoch + 0.05,
                "reconstruction": 1.0 * 0.95**epoch + 0.03,
                "kl": 0.05 + 0.2 * 0.9**epoch,
            }
        )
    out.append({"phase": "generator", "samples": 2 * CLIENTS, "tasks": CLIENTS})
    return out


def _ledger() -> list[dict[str, Any]]:
    sizes = {
        "train": (13_200, 13_100),
        "task_vector": (180, 1_700),
        "adapter": (13_000, 180),
        "evaluation": (170, 320),
    }
    return [
        {
            "phase": "warm_start",
            "round": turn,
            "client": client,
            "direction": direction,
            "purpose": purpose,
            "payload": size - 160,
            "serialised": size,
            "socket": None,
            "status": "ok",
        }
        for purpose, pair in sizes.items()
        for direction, size in zip(("down", "up"), pair, strict=True)
        for turn in range(5 if purpose == "train" else 1)
        for client in range(CLIENTS)
    ]


def _bank(folder: Path, tasks: list[str], rng: np.random.Generator) -> None:
    """Adapters that turn with the first number of their task's name."""
    layer = LayerSpec("blocks.0.q", d_in=12, d_out=10, rank=2)
    spec = AdapterSpec(base="0" * 64, layers=(layer,), alpha=4.0)
    bank = Bank.open(folder, spec, create=True)
    for client, task in enumerate(tasks):
        numbers = [float(x) for x in re.findall(r"=([-\d.]+)", task)] or [float(client)]
        angle = np.deg2rad(2 * numbers[0])
        values = np.concatenate([np.cos(angle * np.arange(1, 23)), np.sin(angle * np.arange(22))])
        values = torch.tensor(values + 0.1 * rng.standard_normal(44), dtype=torch.float32)
        record = Record(task, client, 11, 0, rank=2, seed=0, metrics={})
        bank.add(record, LoraAdapter.from_flat(spec, values), values[:16].clone())


def _reconstruction(rng: np.random.Generator) -> list[dict[str, Any]]:
    out = []
    for i in range(CLIENTS):
        norm = 2 + rng.random()
        out.append(
            {
                "task": f"bank={i}",
                "distance": 0.35 + 0.3 * rng.random(),
                "nearest": 0.5 + 0.3 * rng.random(),
                "norm_trained": norm,
                "norm_generated": norm * (0.75 + 0.15 * rng.random()),
            }
        )
    return out


def _lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
