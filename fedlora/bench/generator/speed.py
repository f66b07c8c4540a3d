"""What a generator takes to learn from a bank of 1,000 adapters, and to answer once."""

import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.bank import Bank, Record
from fedlora.bench.claims import plain_claim
from fedlora.config import GeneratorPart
from fedlora.generators.contract import Generator
from fedlora.results import Claim

ADAPTERS = 1000
SPEC = AdapterSpec("bench", tuple(LayerSpec(f"{i:02}", 768, 768, 8) for i in range(16)), 16.0)
"""Query and value of eight blocks of a base model, 196,608 values."""
WIDTH = 384
"""Of the task vectors."""
ROOT = 4
"""Directions that all adapters of the bank are made of, beside noise of their own."""
GENERATORS = ("cvae", "kriging", "topk")
TURNS = 20
MINUTES = 5.0
GIB = 2.0
MILLISECONDS = 50.0

Row = dict[str, Any]


def measure(generator: str, adapters: int = ADAPTERS, spec: AdapterSpec = SPEC) -> Row:
    """Fill a bank on the disk, read it, learn from it, answer; alone in a process.

    The peak is that of the whole process, in GiB.
    """
    with tempfile.TemporaryDirectory() as scratch:
        bank = Bank.open(Path(scratch) / "bank", spec, create=True)
        fill(bank, adapters)
        built: Generator = GeneratorPart.model_validate({"name": generator}).build()
        began = time.perf_counter()
        known = bank.training_bank()
        built.fit(known, seed=0, workdir=Path(scratch) / "fit", progress=lambda _: None)
        seconds = time.perf_counter() - began
        asked = known.conditions[:1]
        taken = [_seconds(built, asked) for _ in range(TURNS)]
    return {
        "table": "speed",
        "generator": generator,
        "adapters": adapters,
        "values": spec.size,
        "seconds": seconds,
        "peak GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "milliseconds": 1000 * statistics.median(taken),
    }


def fill(bank: Bank, adapters: int) -> None:
    """Adapters that follow from their task vectors, and noise, written one by one."""
    spec, rng = bank.spec, seeding.generator(0, "bench generator, speed")
    roots = 0.02 * torch.randn(ROOT, spec.size, generator=rng)
    for number in range(adapters):
        vector = torch.randn(WIDTH, generator=rng)
        noise = 0.01 * torch.randn(spec.size, generator=rng)
        adapter = LoraAdapter.from_flat(spec, vector[:ROOT] @ roots + noise)
        rank = max(layer.rank for layer in spec.layers)
        bank.add(Record(f"task {number}", number, 0, 0, rank, 0, {}), adapter, vector)


def speed_claims(row: Row) -> list[Claim]:
    """Of one generator."""
    name, what = row["generator"], f"{row['adapters']} adapters of {row['values']} values"
    told = {
        f"learning {what}": (row["seconds"] / 60, MINUTES, "minutes"),
        f"peak memory of a process that learns {what}": (row["peak GiB"], GIB, "GiB"),
        f"one adapter, having learned {what}": (row["milliseconds"], MILLISECONDS, "ms"),
    }
    return [
        plain_claim("G7", f"{name}: {text}", value, "<=", target, unit)
        for text, (value, target, unit) in told.items()
    ]


def _seconds(generator: Generator, asked: torch.Tensor) -> float:
    began = time.perf_counter()
    generator.sample(asked, seed=0)
    return time.perf_counter() - began
