"""Quality against the size of the bank and the samples in a task vector, and what these cost."""

import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fedlora import seeding
from fedlora.bench.generator.side import Side
from fedlora.client.client import Client
from fedlora.config import RunConfig
from fedlora.config.parts import TasksPart
from fedlora.finetune.task_vector import task_vector
from fedlora.generators.bank import rows_of
from fedlora.generators.contract import TrainingBank

SIZES = (8, 16, 32, 48)
SAMPLES = (8, 32, 128, 512)
METHODS: dict[str, dict[str, Any]] = {
    "kriging": {"name": "kriging"},
    "top-3": {"name": "topk", "k": 3, "temperature": 1.0},
}

Row = dict[str, Any]


def measure(side: Side) -> list[Row]:
    """Every method on every newcomer, on parts of the bank and with shorter and longer vectors.

    The smaller banks are the first of its tasks in an order that the seed draws; their adapters,
    and the warm start, are those of the whole. `values` are the newcomers', in their order.
    """
    bank, rows = side.bank, list[Row]()
    order = torch.randperm(len(bank.adapters), generator=seeding.generator(side.seed, "sizes"))
    for size in SIZES:
        part = rows_of(bank, order[:size].tolist())
        rows += _measured(side, part, side.vectors, {"curve": "bank", "at": len(part.adapters)})
    newcomers = [newcomer.seat.client for newcomer in side.newcomers]
    for samples, (vectors, seconds) in _vectors(side.client.config, side.seed).items():
        part = replace(bank, conditions=vectors[list(bank.clients or ())])
        point = {"curve": "vector", "at": samples, "vector seconds": seconds}
        rows += _measured(side, part, vectors[newcomers], point)
    return rows


def _measured(side: Side, bank: TrainingBank, asked: Tensor, point: Row) -> list[Row]:
    rows = []
    for name, part in METHODS.items():
        began = time.perf_counter()
        (generator,) = side.learn({name: part}, bank).values()
        fitted = time.perf_counter()
        made = generator.sample(asked, seed=0, rank=side.client.config.lora.rank)
        taken = {
            "fit seconds": fitted - began,
            "generation seconds": (time.perf_counter() - fitted) / len(made),
        }
        rows.append(point | {"method": name, "values": side.reached(made)} | taken)
    return rows


def _vectors(config: RunConfig, seed: int) -> dict[int, tuple[Tensor, float]]:
    """By samples: the vectors (clients, c) of the same tasks, and seconds for one of them.

    Where these are more than a client trains on, its task is asked for more examples.
    """
    tasks = config.model_dump(mode="json")["tasks"]
    tasks["splits"]["train"] = max(SAMPLES)
    client = Client(config.model_copy(update={"tasks": TasksPart.model_validate(tasks)}), seed)
    found: dict[int, tuple[list[Tensor], float]] = {count: ([], 0.0) for count in SAMPLES}
    for seat in client.seats:
        desk = client.desk(seat.client)
        for count, (vectors, seconds) in found.items():
            settings = config.task_vector.model_copy(update={"samples": count})
            began = time.perf_counter()
            vectors.append(task_vector(desk.objective, desk.train, settings))
            found[count] = vectors, seconds + time.perf_counter() - began
    return {count: (torch.stack(v), seconds / len(v)) for count, (v, seconds) in found.items()}
