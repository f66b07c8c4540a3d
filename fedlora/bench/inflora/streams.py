"""The streams of the bench: one run, its accuracies, its bytes."""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora.config import RunConfig, from_dict
from fedlora.evaluation.stream import seed_summary
from fedlora.runtime import inprocess
from fedlora.server.observer import Silent
from fedlora.server.stream.story import federate_stream
from fedlora.wire.ledger import Entry

CANDIDATES = (0.95, 0.999)
"""Thresholds that are tried, as shares of the features' energy; validation accuracy chooses."""


@dataclass(frozen=True)
class Family:
    """A stream: base model, tasks, local training; the seed orders classes and splits."""

    name: str
    backbone: str
    tasks: dict[str, Any]
    train: dict[str, Any]


DIGITS = Family(
    "digits",
    "mini_vit",
    {
        "source": {"name": "digits", "size": 8},
        "splits": {"train": 200, "validation": 60, "test": 120},
    },
    {"epochs": 10, "batch_size": 32, "learning_rate": 5e-3},
)
FASHION = Family(
    "fashion",
    "tiny_vit",
    {
        "source": {"name": "fashion_mnist"},
        # Upright, its classes are those that the base model was pretrained on.
        "transform": {"inversion": True},
        "splits": {"train": 200, "validation": 100, "test": 300},
    },
    {"epochs": 5, "batch_size": 32, "learning_rate": 5e-3},
)


@dataclass(frozen=True)
class Case:
    """One stream to live.

    label: of the method in the results. threshold: of its space; None where it keeps none.
    beta: of the Dirichlet partition; None for one client with all data.
    """

    family: Family
    label: str
    method: str
    seed: int
    threshold: float | None = None
    align: bool = False
    clients: int = 1
    rounds: int = 1
    beta: float | None = None

    def config(self) -> RunConfig:
        """The run of the case."""
        method: dict[str, Any] = {"name": self.method}
        if self.threshold is not None:
            method |= {
                "threshold_first": self.threshold,
                "threshold_last": self.threshold,
                "energy": "features",
                "exhausted": "zero",
            }
        if self.align and self.method != "inflora_ca":
            method["align"] = {}
        shards: dict[str, Any] = {"per_task": self.clients}
        if self.beta is not None:
            shards |= {"partition": "dirichlet", "alpha": self.beta, "min_examples": 4}
        epochs = max(1, round(self.family.train["epochs"] / self.rounds))
        return from_dict(
            {
                "name": "bench",
                "seeds": [self.seed],
                "backbone": {"name": self.family.backbone},
                "lora": {"rank": 4, "alpha": 4, "targets": ["k_proj", "v_proj"]},
                "tasks": {
                    "name": "class_stream",
                    "shuffle": True,
                    "seed": self.seed,
                    **self.family.tasks,
                },
                "shards": shards,
                "finetune": {**self.family.train, "epochs": epochs},
                "continual": {"method": method, "rounds": self.rounds},
                "runtime": {"device": "cpu"},
            },
            "bench inflora",
        )


def live(case: Case) -> dict[str, Any]:
    """Live one stream in this process; its row of the results.

    Values of accuracy are in percent; `validation_*` are what choices are made by.
    """
    config = case.config()
    assert config.continual is not None
    continual, started = config.continual, time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        inprocess.serve(
            config,
            case.seed,
            lambda transport: federate_stream(
                config, continual, case.seed, transport, folder, Silent()
            ),
        )
        stream = json.loads((folder / "stream.json").read_text())
        lines = (folder / "ledger.jsonl").read_text().splitlines()
    sent = [Entry.from_line(line) for line in lines]
    test = seed_summary(stream, "test")
    validation = seed_summary(stream, "validation")
    return {
        "family": case.family.name,
        "method": case.label,
        "threshold": case.threshold,
        "beta": case.beta,
        "clients": case.clients,
        "seed": case.seed,
        **{key: 100 * test[key] for key in _SHOWN},
        **{f"validation_{key}": 100 * validation[key] for key in _CHOOSING},
        "leak": test.get("leak"),
        "memory": test.get("memory"),
        "statistics_bytes": sum(e.payload for e in sent if e.purpose == "statistics"),
        "bytes": sum(entry.serialised for entry in sent),
        "cpu_seconds": time.process_time() - started,
    }


_CHOOSING = ("within_final", "among_final")
_SHOWN = (
    *_CHOOSING,
    "within_averaged",
    "among_averaged",
    "within_forgetting",
    "among_forgetting",
    "within_backward",
    "forward_transfer",
)
