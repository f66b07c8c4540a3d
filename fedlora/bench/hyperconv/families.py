"""Banks to learn from, and newcomers to be judged on: small, real, trained in one process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from fedlora import config as configuration
from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.aggregation.fedavg import mean_factors
from fedlora.client.client import Client
from fedlora.client.desk import Desk
from fedlora.config import TaskVectorConfig, TrainSection
from fedlora.finetune.job import Job
from fedlora.finetune.local import fresh, put
from fedlora.finetune.task_vector import task_vector
from fedlora.server.observer import Observer

FEW = 32
PROMPTS = TaskVectorConfig(samples=16, features=("prompts",))
FAMILIES: dict[str, dict[str, Any]] = {
    "text": {
        "name": "text",
        "backbone": {"name": "minilm", "max_length": 24},
        "lora": {"rank": 8, "alpha": 16, "layers": [4, 5]},
        "tasks": {
            "name": "class_subsets",
            "source": {"name": "clothing_reviews", "label": "class"},
            "classes_per_task": 4,
            "bank": 24,
            "held_out": 8,
            "splits": {"train": 64, "validation": 32, "test": 80},
            "seed": 1,
        },
        "warm_start": {"rounds": 1, "train": {"epochs": 1, "learning_rate": 2e-3}},
        "finetune": {"epochs": 2, "learning_rate": 2e-3},
        "task_vector": {"samples": 32, "features": ["pooled", "moments"]},
        "runtime": {"training": "batched", "group": 24},
    },
    "images": {
        "name": "images",
        "backbone": {"name": "tiny_vit"},
        "lora": {"rank": 4, "alpha": 8},
        "tasks": {
            "name": "image_domains",
            "bank": 24,
            "held_out": 8,
            "splits": {"train": 96, "validation": 32, "test": 200},
            "seed": 1,
        },
        "warm_start": {"rounds": 3, "train": {"epochs": 1, "learning_rate": 5e-3}},
        "finetune": {"epochs": 3, "learning_rate": 5e-3},
        "task_vector": {"samples": 96, "features": ["early"]},
        "runtime": {"training": "batched", "group": 24},
    },
}


@dataclass(frozen=True, eq=False)
class Member:
    """A task with what was trained for it.

    vector: (c,) the task vector.
    prompts: (16 * 384,) encodings of training texts; None of images.
    unseen: the same of validation texts.
    """

    desk: Desk
    trained: LoraAdapter
    vector: Tensor
    prompts: Tensor | None
    unseen: Tensor | None


@dataclass(frozen=True, eq=False)
class Made:
    """A family with its bank, its newcomers, and what all of them started from.

    few: of each newcomer, what 32 labels alone lead to from the same start.
    """

    bank: list[Member]
    newcomers: list[Member]
    few: list[LoraAdapter]
    zero: LoraAdapter
    start: LoraAdapter


def make(name: str, seed: int, observer: Observer) -> Made:
    """Warm start by federated averaging, then every task on its own, several at once."""
    raw = FAMILIES[name]
    config = configuration.from_dict(raw | {"seeds": [seed]}, f"bench {name}")
    client = Client(config, seed)
    desks = [client.desk(seat.client) for seat in client.seats]
    bank = [desk for desk in desks if desk.seat.role == "bank"]
    warm, own = config.warm_start, config.finetune
    observer.phase(f"{name}: adapters", warm.rounds + 2)

    def train(
        who: Sequence[Desk],
        start: LoraAdapter,
        settings: TrainSection,
        what: str,
        few: bool = False,
    ) -> list[LoraAdapter]:
        jobs = [_job(client, desk, start, settings, seed, what, few) for desk in who]
        observer.advance()
        return [done.result().adapters[-1] for done in client.trainer.train(jobs)]

    zero = start = fresh(bank[0].objective, seeding.derive(seed, "start"))
    for number in range(warm.rounds):
        trained = train(bank, start, warm.train, f"warm {number}")
        start = mean_factors(trained, [1.0] * len(trained))
    adapters = train(desks, start, own, "own")
    newcomers = [desk for desk in desks if desk.seat.role == "newcomer"]
    longer = own.model_copy(update={"epochs": own.epochs * newcomers[0].examples // FEW})
    few = train(newcomers, start, longer, "few", few=True)
    members = [
        _member(desk, adapter, config.task_vector)
        for desk, adapter in zip(desks, adapters, strict=True)
    ]
    return Made(members[: len(bank)], members[len(bank) :], few, zero, start)


def accuracy(member: Member, adapter: LoraAdapter) -> float:
    """On the task's test split."""
    put(member.desk.objective, adapter)
    return member.desk.objective.score(member.desk.test)["accuracy"]


def _job(
    client: Client, desk: Desk, start: LoraAdapter, settings: TrainSection, seed: int, what: str,
    few: bool,
) -> Job:  # fmt: skip
    rows = client.states.extend(desk.seat.client, desk.objective, desk.train)
    if few:
        rows = replace(desk, train=rows).few(FEW, seed)
    drawn = seeding.derive(seed, "bench hyperconv", what, desk.seat.client)
    return Job(desk.objective, start, rows, None, settings, drawn)


def _member(desk: Desk, adapter: LoraAdapter, config: TaskVectorConfig) -> Member:
    objective = desk.objective
    vector = task_vector(objective, desk.train, config)
    if "input_ids" not in desk.train:
        return Member(desk, adapter, vector, None, None)
    seen = task_vector(objective, desk.train, PROMPTS)
    return Member(desk, adapter, vector, seen, task_vector(objective, desk.validation, PROMPTS))
