"""What is trained: how many clients, on which model, with how much data of which size."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from fedlora import config as configuration
from fedlora import seeding
from fedlora.config import RunConfig

GROUP = 16
"""Clients that fedlora trains at once in the batched sides."""

AUTO = 80
"""Clients of a round in which `auto` learns: after two of them it may have tried any size."""

_RATES = {"tiny_vit": 5e-3, "minilm": 1e-3, "smollm2": 1e-3}
_RANKS = {"tiny_vit": 2, "minilm": 8, "smollm2": 4}


@dataclass(frozen=True)
class Workload:
    """One federated round of a kind of client.

    backbone: one of the embedded models.
    clients, examples: how many there are, and what each holds.
    batch, length, epochs: of the local training; `length` in tokens.
    layers: the blocks that are adapted; all when None.
    warm_up: clients of the round that is not timed.
    slices: of a side, the clients of a timed round, where all would take too long; the clients
        beyond the largest slice are not made.
    spread: slices are drawn from all clients, where they are the first ones otherwise.
    turns: of each side that must live alone; its rounds are divided among them.
    restarts: every side lives alone, for what a start takes.
    threads: numbers of torch threads to try; one more gains nothing where a client is small.
    group: clients trained at once.
    device: where fedlora and the plain loop train; the other peers know the CPU alone.
    """

    name: str
    backbone: str
    clients: int
    examples: int
    batch: int
    length: int = 128
    epochs: int = 1
    layers: tuple[int, ...] | None = None
    warm_up: int = 4
    slices: Mapping[str, int] = field(default_factory=dict)
    spread: bool = False
    turns: int = 1
    restarts: bool = False
    threads: tuple[int, ...] = (1,)
    group: int = GROUP
    device: str = "cpu"

    def timed(self, side: str) -> int:
        """Clients of one timed round of a side."""
        return min(self.slices.get(side, self.slices.get("*", self.clients)), self.clients)

    def chosen(self, count: int) -> list[int]:
        """Numbers of `count` clients; those of a smaller count are among those of a larger."""
        if not self.spread:
            return list(range(count))
        order = torch.randperm(self.clients, generator=seeding.generator(0, "slices"))
        return sorted(order[:count].tolist())

    def config(self, dtype: str = "float32", **runtime: Any) -> RunConfig:
        """The run whose warm start is this round.

        dtype: of the frozen base model. runtime: beside the workload's own settings.

        Raises:
            FedloraError: the sizes do not fit the data.
        """
        settings = {
            "name": "sim",
            "backbone": {"name": self.backbone, "max_length": self.length, "dtype": dtype},
            "lora": {
                "rank": _RANKS[self.backbone],
                "alpha": 2 * _RANKS[self.backbone],
                "layers": self.layers,
            },
            **self._data(),
            "warm_start": {
                "rounds": 2,
                "train": {
                    "epochs": self.epochs,
                    "batch_size": self.batch,
                    "learning_rate": _RATES[self.backbone],
                },
            },
            "task_vector": {"samples": 8},
            "rounds": {"min_answers": 1.0},  # a side that loses clients has no speed
            "runtime": {
                "group": self.group,
                "device": self.device,
                "activation_cache": 0,
                "activation_disk": 0,
                **runtime,
            },
        }
        return configuration.from_dict(settings, origin=f"workload {self.name}")

    def _data(self) -> dict[str, Any]:
        """Images: a domain a client. Texts: one task dealt to all. A language model: a domain."""
        sizes = {"train": self.examples, "validation": 8, "test": 8}
        clothes = {"name": "clothing_reviews", "label": "department"}
        if self.backbone == "tiny_vit":
            steps = math.isqrt(self.clients) + 2
            factors = {
                "rotation": {"low": 0, "high": 90, "steps": steps},
                "contrast": {"low": 0.3, "high": 1.0, "steps": steps},
            }
            tasks = {"name": "image_domains", "factors": factors, "bank": self.clients}
            per_task = 1
        elif self.backbone == "smollm2":
            tasks = {
                "name": "domains",
                "source": clothes,
                "column": "class",
                "language_modelling": True,
                "block_words": self.length,
                "bank": self.clients,
            }
            per_task = 1
        else:
            tasks = {"name": "class_subsets", "source": clothes, "classes_per_task": 5, "bank": 1}
            sizes["train"] = self.clients * self.examples
            per_task = self.clients
        tasks |= {"held_out": 1, "splits": sizes}
        return {"tasks": tasks, "shards": {"per_task": per_task, "min_examples": self.examples}}


_FLOWER = {"flower_stock": 2, "flower_cached": 4}
"""Clients of a timed round, where one takes a second or so."""

SECOND = Workload(
    name="minilm 10 x 64",
    backbone="minilm",
    clients=10,
    examples=64,
    batch=16,
    length=64,
    slices={"plain": 4, "pfl": 4, **_FLOWER},
    turns=2,
    threads=(1, 2),
)
"""Clients of a second or more."""

LARGE = Workload("minilm 10 x 64, batch 32, length 128", "minilm", 10, 64, 32, 128, slices={"*": 2})
"""Matrices as large as this encoder gets."""

FEW = [
    Workload(
        name=f"minilm 100 x 32, batch {batch}, length {length}",
        backbone="minilm",
        clients=100,
        examples=32,
        batch=batch,
        length=length,
        warm_up=AUTO,
        slices={"plain": 4, "pfl": 4, **_FLOWER, "inprocess": 8, "auto": AUTO, "*": GROUP},
        turns=2,
    )
    for batch in (1, 4)
    for length in (16, 32)
]
"""Few examples at once, where the hardware idles most."""

TINY_100 = Workload(
    "tiny ViT 100 x 16", "tiny_vit", 100, 16, 4, warm_up=50, slices={"flower_stock": 24}
)
TINY_1000 = Workload(
    name="tiny ViT 1,000 x 16",
    backbone="tiny_vit",
    clients=1000,
    examples=16,
    batch=4,
    warm_up=100,
    slices={
        "plain": 150,
        "pfl": 150,
        "inprocess": 150,
        "auto": 150,
        "batched": 304,
        "ray": 300,
        "flower_stock": 24,
    },
    turns=2,
)
LANGUAGE = Workload(
    name="SmolLM2 4 x 8",
    backbone="smollm2",
    clients=4,
    examples=8,
    batch=4,
    length=64,
    layers=(26, 27, 28, 29),
    warm_up=2,
    slices={"plain": 2, "pfl": 2, "flower_stock": 2, "flower_cached": 2},
    turns=2,
    threads=(1, 2),
)

TOP = Workload("minilm top 2 of 6", "minilm", 8, 32, 8, 32, epochs=5, layers=(4, 5), warm_up=1)
"""Most of the model lies below the lowest adapter; of most clients nothing is recorded before the
first timed round.
"""

COLD = [
    Workload(
        name=f"tiny ViT {clients:,} x 16, cold",
        backbone="tiny_vit",
        clients=clients,
        examples=16,
        batch=4,
        warm_up=0,
        slices={"inprocess": 500},
        spread=True,
    )
    for clients in (6000, 10000)
]
"""One round of a process that has loaded nothing yet.

With the fewer clients the room that a process has for their data is full already, so that what the
others add to its memory is theirs alone.
"""

STARTS = [
    replace(
        workload,
        name=f"{model}, start",
        examples=workload.batch,
        warm_up=1,
        slices={"*": 1},
        turns=5,
        threads=(1,),
        restarts=True,
    )
    for model, workload in (("tiny ViT", TINY_100), ("minilm", SECOND), ("SmolLM2", LANGUAGE))
]
"""One client that trains on one batch, in a new process each time."""

GPU = [
    Workload(
        name=f"minilm {k} x 32, batch {batch}, GPU",
        backbone="minilm",
        clients=k,
        examples=32,
        batch=batch,
        length=32,
        warm_up=k,
        slices={"plain": 8, "inprocess": 8},
        group=k,
        device="cuda",
    )
    for k in (1, 16, 64, 256)
    for batch in (1, 4)
]
"""On a card, as many adapters at once as there are clients."""
