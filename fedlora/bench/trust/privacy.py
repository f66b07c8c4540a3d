"""What protection of examples and of clients costs, and what attacks find in spite of it."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from fedlora.bank import Bank
from fedlora.bench.claims import interval_claim
from fedlora.client.client import Client
from fedlora.client.protecting import vector_of
from fedlora.config import RunConfig, from_dict
from fedlora.evaluation.membership import membership
from fedlora.evaluation.reconstruction import likeness, reconstruct
from fedlora.finetune.objectives.contract import take
from fedlora.results import Claim
from fedlora.runtime.inprocess import InPacks
from fedlora.server.federation import federate
from fedlora.server.observer import Silent

Row = dict[str, Any]

EPSILONS = (None, 32.0, 8.0, 2.0)
"""Of an example's adapters, and of its part in a task vector, or of a whole client; None for no
protection."""

CLIENTS = "vision, whole clients"
FAMILIES = ("vision", "text", CLIENTS)
CHANGE = 1.0
"""The most that a client's change of a round may measure."""

ATTACKED = 4
"""Bank clients that are attacked in each federation."""


@dataclass(frozen=True)
class PrivateCase:
    """One federation whose clients are protected, or not for an epsilon of None."""

    family: str
    epsilon: float | None
    seed: int

    @property
    def name(self) -> str:
        """A file's name."""
        return f"privacy-{self.family}-{self.epsilon}-{self.seed}"


def private_cases(seeds: Sequence[int]) -> list[PrivateCase]:
    """Every family at every epsilon."""
    return [PrivateCase(f, e, seed) for f in FAMILIES for e in EPSILONS for seed in seeds]


_TASKS: dict[str, dict[str, Any]] = {
    "vision": {
        "backbone": {"name": "tiny_vit"},
        "tasks": {
            "name": "image_domains",
            "bank": 8,
            "held_out": 4,
            "splits": {"train": 120, "validation": 16, "test": 120},
        },
    },
    "text": {
        "backbone": {"name": "minilm", "max_length": 24},
        "tasks": {
            "name": "class_subsets",
            "source": {"name": "bbc_news"},
            "classes_per_task": 3,
            "bank": 4,
            "held_out": 2,
            "splits": {"train": 60, "validation": 16, "test": 60},
        },
    },
    CLIENTS: {
        "backbone": {"name": "tiny_vit"},
        "tasks": {
            "name": "image_domains",
            "factors": {
                "rotation": {"low": 0, "high": 90, "steps": 13},
                "contrast": {"low": 0.3, "high": 1, "steps": 8},
            },
            "bank": 64,
            "held_out": 8,
            "splits": {"train": 32, "validation": 8, "test": 100},
        },
    },
}


def config_of(case: PrivateCase) -> RunConfig:
    """The run of a case, on tasks that its seed draws."""
    family = _TASKS[case.family]
    raw: dict[str, Any] = {
        "name": "privacy",
        "seeds": [case.seed],
        "backbone": family["backbone"],
        "lora": {"rank": 4, "alpha": 8},
        "tasks": {**family["tasks"], "seed": 80 + case.seed},
        "warm_start": {
            "rounds": 3,
            "train": {"epochs": 1, "batch_size": 30, "learning_rate": 5e-3},
        },
        "finetune": {"epochs": 4, "batch_size": 30, "learning_rate": 5e-3},
        "task_vector": {"samples": 64},
        "generator": {"name": "topk"},
        "evaluation": {"baselines": [], "few_labels": 8, "one_epoch": False},
    }
    if case.family == CLIENTS:
        raw["warm_start"] |= {"rounds": 12, "weights": "equal", "aggregation": {"name": "ffa"}}
        raw["warm_start"]["train"] |= {"batch_size": 8, "learning_rate": 2e-2}
        raw["finetune"]["epochs"] = 1
        raw["runtime"] = {"training": "batched", "group": 16}
    if case.epsilon is not None:
        raw["privacy"] = {
            "examples": {"epsilon": case.epsilon, "clip": 1.0},
            "task_vector": {"epsilon": case.epsilon, "clip": 4.0},
        }
        if case.family == CLIENTS:
            raw["privacy"] = {"clients": {"epsilon": case.epsilon, "clip": CHANGE}}
    return from_dict(raw, "bench trust")


def live_private(case: PrivateCase) -> Row:
    """The row of a case.

    accuracy: newcomers' mean, of what is protected: the generated adapters, or the common adapter
    of the warm start where whole clients are; base: without any. membership: of bank clients'
    adapters. image, other image: the likeness of what a task vector gives away to the client's own
    images, and to those of another client.
    """
    config = config_of(case)
    client = Client(config, case.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        clients = InPacks(client.handle_many, config.runtime.together)
        federate(config, case.seed, clients, folder, Silent())
        table = json.loads((folder / "table.json").read_text())["rows"]
        row = _worth(case, table)
        if case.family == CLIENTS:
            return row
        bank = Bank.open(folder / "bank")
        known = [record for record in bank.records() if record.round == 0][:ATTACKED]
        found = [
            membership(
                client.desk(record.client).objective,
                bank.load(record.digest),
                client.desk(record.client).train,
                client.desk(record.client).test,
            )
            for record in known
        ]
    row["membership"] = mean(found)
    return row | (_images(client, config, case.seed) if case.family == "vision" else {})


def _worth(case: PrivateCase, table: Sequence[Row]) -> Row:
    protected = "warm" if case.family == CLIENTS else "generated"
    return {
        "family": case.family,
        "epsilon": case.epsilon,
        "seed": case.seed,
        "accuracy": mean(r["value"] for r in table if r["method"] == protected),
        "base": mean(r["value"] for r in table if r["method"] == "base"),
    }


def _images(client: Client, config: RunConfig, seed: int) -> Row:
    own, other = client.desk(0), client.desk(1)
    seen = torch.arange(min(own.examples, config.task_vector.samples))
    vector = vector_of(config, own.objective, own.train, seed)
    made = reconstruct(own.objective, vector, own.train)
    near, far = (take(desk.train, seen)["pixel_values"] for desk in (own, other))
    return {"image": likeness(made, near), "other_image": likeness(made, far)}


def privacy_claims(rows: Sequence[Row]) -> list[Claim]:
    """T5: what protection costs beside the same seed without it, and what membership tells then."""
    claims = []
    for family in dict.fromkeys(row["family"] for row in rows):
        here = [row for row in rows if row["family"] == family]
        plain = {row["seed"]: row for row in here if row["epsilon"] is None}
        for epsilon in [e for e in EPSILONS if e is not None]:
            own = [row for row in here if row["epsilon"] == epsilon]
            lost = [100 * (plain[r["seed"]]["accuracy"] - r["accuracy"]) for r in own]
            what = f"points newcomers lose at epsilon {epsilon:g} ({family})"
            claims.append(interval_claim("T5", what, lost, "<=", 5.0, "points"))
            told = [row["membership"] for row in own if "membership" in row]
            what = f"members told from others at epsilon {epsilon:g} ({family}), 0.5 is a guess"
            if told:
                claims.append(interval_claim("T5", what, told, "<=", 0.55))
    return claims
