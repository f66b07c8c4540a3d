"""A run folder as a run writes it, small and made up, for the tests of the report."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.server.bank import Bank, Record

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
) -> Path:
    """A finished run; `closes` sets the share of the gap that a method closes on average."""
    run = parent / "made_20250102_030405"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(CONFIG)
    rng = np.random.default_rng(0)
    names = tasks or [f"rotation={5 * i - 30},contrast={0.4 + 0.1 * i:.1f}" for i in range(12)]
    rows = _rows(names, METHODS | (closes or {}), seeds, metric, rng)
    _write(run / "results.json", _results(rows, seeds, metric))
    for seed in range(seeds):
        folder = run / f"seed-{seed}"
        folder.mkdir()
        _lines(folder / "metrics.jsonl", _metrics(rng))
        _lines(folder / "ledger.jsonl", _ledger())
        _write(folder / "reconstruction.json", _reconstruction(rng))
        bank = [
            f"rotation={15 * (i % 5) - 30},contrast={0.4 + 0.25 * (i // 5):g}" for i in range(24)
        ]
        _bank(folder / "bank", bank, rng)
        _bank(folder / "newcomers", names, rng)
    return run


def _rows(
    names: list[str], closes: dict[str, float], seeds: int, metric: str, rng: np.random.Generator
) -> list[dict[str, Any]]:
    rows = []
    ends = {name: (0.45 + 0.25 * rng.random(), 0.78 + 0.1 * rng.random()) for name in names}
    if metric == "perplexity":
        ends = {name: (30 + 10 * rng.random(), 18 + 3 * rng.random()) for name in names}
    for seed in range(seeds):
        for client, task in enumerate(names):
            base, local = ends[task]
            for method, share in closes.items():
                exact = method in ("base", "local")
                gap = share if exact else share + 0.07 * rng.standard_normal()
                value = base + gap * (local - base)
                rows.append(
                    {
                        "seed": seed,
                        "task": task,
                        "client": 24 + client,
                        "method": method,
                        "value": value,
                        "gap": gap,
                    }
                )
    return rows


def _results(rows: list[dict[str, Any]], seeds: int, metric: str) -> dict[str, Any]:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    return {
        "metric": metric,
        "higher_is_better": metric != "perplexity",
        "finished": True,
        "seeds": list(range(seeds)),
        "rows": rows,
        "summary": [
            {
                "method": method,
                **{
                    field: _interval([r[field] for r in rows if r["method"] == method])
                    for field in ("value", "gap")
                },
            }
            for method in methods
        ],
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
                "task": "rotation=40",
                "reason": "adapter tensor 'blocks.0.q.down' holds NaN",
            },
            {
                "seed": 1,
                "phase": "finetune",
                "round": 11,
                "client": 3,
                "task": "rotation=-20",
                "reason": "no answer within 60 s",
            },
        ],
        "seconds": 372.4,
        "peak_memory_bytes": 1_430_000_000,
        "fingerprint": {
            "bank": "5d41402abc4b2a76b9719d911017c592",
            "generator": "7d793037a0760186",
            "table": "e4da3b7fbbce2345",
        },
    }


def _interval(values: list[float]) -> dict[str, Any]:
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return {"mean": mean, "low": None, "high": None, "n": n}
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def _metrics(rng: np.random.Generator) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for turn in range(1, 11):
        for client in range(24):
            out.append(
                {
                    "phase": "warm_start",
                    "round": turn,
                    "client": client,
                    "task": f"bank={client}",
                    "accuracy": 0.6,
                    "examples": 200,
                    "loss": 1.6 / turn**0.5 + 0.1 * rng.standard_normal(),
                }
            )
    for client in range(24):
        curve = [0.5 + 0.4 / (e + 1) + 0.05 * rng.standard_normal() for e in range(8)]
        out.append(
            {
                "phase": "finetune",
                "round": 11,
                "client": client,
                "task": f"bank={client}",
                "loss": curve[-1],
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
        for client in range(24)
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
    for i in range(24):
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


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def _lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
