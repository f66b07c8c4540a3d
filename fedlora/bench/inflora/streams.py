"""The streams of the bench: one run, its accuracies, its bytes."""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora.bench.inflora.families import Family
from fedlora.config import RunConfig, from_dict
from fedlora.evaluation.stream import seed_summary
from fedlora.runtime import inprocess
from fedlora.server.observer import Silent
from fedlora.server.stream.story import federate_stream
from fedlora.wire.ledger import Entry


@dataclass(frozen=True)
class Case:
    """One stream to live.

    label: of the method in the results. threshold: of its space; None where it keeps none.
    align_rate: learning rate of class alignment; None where there is none.
    beta: of the Dirichlet partition; None for one client with all data.
    """

    family: Family
    label: str
    method: str
    seed: int
    threshold: float | None = None
    align_rate: float | None = None
    clients: int = 1
    rounds: int = 1
    beta: float | None = None

    @property
    def name(self) -> str:
        """Another one for every case of a bench."""
        facts = (
            self.family.name,
            self.label,
            f"seed={self.seed}",
            f"threshold={self.threshold}",
            f"align={self.align_rate}",
            f"rounds={self.rounds}",
            f"beta={self.beta}",
        )
        return ",".join(facts)

    def config(self, untrained: Path) -> RunConfig:
        """The run of the case; a model that has learned nothing lies at `untrained`."""
        method: dict[str, Any] = {"name": self.method}
        if self.threshold is not None:
            method |= {
                "threshold_first": self.threshold,
                "threshold_last": self.threshold,
                "energy": "features",
                "exhausted": "zero",
            }
        if self.align_rate is not None:
            method["align"] = {"learning_rate": self.align_rate}
        shards: dict[str, Any] = {"per_task": self.clients}
        if self.beta is not None:
            shards |= {"partition": "dirichlet", "alpha": self.beta, "min_examples": 4}
        tasks = {"name": "class_stream", "shuffle": True, "seed": self.seed, **self.family.tasks}
        return from_dict(
            {
                "name": "bench",
                "seeds": [self.seed],
                "backbone": {"name": self.family.backbone or str(untrained)},
                "lora": {"rank": 4, "alpha": 4, "targets": ["k_proj", "v_proj"]},
                "tasks": tasks,
                "shards": shards,
                "finetune": self.family.train,
                "continual": {"method": method, "rounds": self.rounds},
                "runtime": {"device": "cpu"},
            },
            "bench inflora",
        )


def live(case: Case, models: Path) -> dict[str, Any]:
    """Live one stream in this process; its row of the results.

    Values of accuracy are in percent; `validation_*` are what choices are made by.

    models: where `save_untrained` has put a model for each seed, by its number.
    """
    started = time.process_time()
    config = case.config(models / str(case.seed))
    continual = config.continual
    assert continual is not None
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
        "align_rate": case.align_rate,
        "beta": case.beta,
        "clients": case.clients,
        "rounds": case.rounds,
        "epochs": config.finetune.epochs,
        "seed": case.seed,
        **{key: 100 * test[key] for key in _SHOWN},
        **{f"validation_{key}": 100 * validation[key] for key in _CHOOSING},
        "leak": test.get("leak"),
        "memory": test.get("memory"),
        "statistics_bytes": sum(
            e.payload for e in sent if (e.purpose, e.direction) == ("statistics", "up")
        ),
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
