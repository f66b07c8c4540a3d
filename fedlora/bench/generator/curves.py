"""Quality against the size of the bank and what a task vector holds, and what these cost."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fedlora import seeding
from fedlora.bench.generator.families import Family
from fedlora.bench.generator.side import Side
from fedlora.client.client import Client
from fedlora.config import RunConfig
from fedlora.config.clients import TaskFeature
from fedlora.config.parts import TasksPart
from fedlora.finetune.task_vector import task_vector
from fedlora.generators.bank import rows_of
from fedlora.generators.contract import TrainingBank

SAMPLES = (8, 32, 128, 512)
FEATURES: tuple[tuple[TaskFeature, ...], ...] = (
    ("pooled",),
    ("pooled", "moments"),
    ("early",),
    ("gradient",),
    ("early", "gradient"),
    ("inputs",),
)
LEARNED, PLAIN = ", learned metric", ", plain metric"
METHODS: dict[str, dict[str, Any]] = {
    "kriging": {"name": "kriging"},
    f"kriging{PLAIN}": {"name": "kriging", "metric": "plain"},
    "top-3": {"name": "topk", "k": 3, "temperature": 1.0},
    f"top-3{LEARNED}": {"name": "topk", "k": 3, "temperature": 1.0, "metric": "learned"},
}

Row = dict[str, Any]


def measure(side: Side, family: Family) -> list[Row]:
    """Every method on every newcomer, on parts of the bank and with other task vectors.

    The smaller banks are the first of its tasks in an order that the seed draws; their adapters,
    and the warm start, are those of the whole. `values` are the newcomers', in their order.
    """
    bank, rows = side.bank, list[Row]()
    order = torch.randperm(len(bank.adapters), generator=seeding.generator(side.seed, "sizes"))
    for size in family.sizes if "bank" in family.curves else ():
        part = rows_of(bank, order[:size].tolist())
        rows += _measured(side, part, side.vectors, {"curve": "bank", "at": len(part.adapters)})
    newcomers = [newcomer.seat.client for newcomer in side.newcomers]
    vectored = _vectors(side.client.config, side.seed) if "vector" in family.curves else ()
    for point, vectors in vectored:
        part = replace(bank, conditions=vectors[list(bank.clients or ())])
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


def _vectors(config: RunConfig, seed: int) -> Iterator[tuple[Row, Tensor]]:
    """Points of the curves of samples and of features, and the vectors (clients, c) of each.

    Where samples are more than a client trains on, its task is asked for more examples.
    """
    tasks = config.model_dump(mode="json")["tasks"]
    tasks["splits"]["train"] = max(SAMPLES)
    client = Client(config.model_copy(update={"tasks": TasksPart.model_validate(tasks)}), seed)
    desks = [client.desk(seat.client) for seat in client.seats]
    changes: dict[tuple[str, int | str], dict[str, Any]] = {
        **{("vector", count): {"samples": count} for count in SAMPLES},
        **{("features", " + ".join(names)): {"features": names} for names in FEATURES},
    }
    for (curve, at), change in changes.items():
        settings = config.task_vector.model_copy(update=change)
        began = time.perf_counter()
        vectors = torch.stack([task_vector(d.objective, d.train, settings) for d in desks])
        taken = (time.perf_counter() - began) / len(desks)
        size = vectors[0].numel() * vectors.element_size()
        point = {"curve": curve, "at": at, "vector seconds": taken, "vector bytes": size}
        yield point, vectors
