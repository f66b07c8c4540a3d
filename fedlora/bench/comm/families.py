"""The federations in which methods and codecs are compared: images, texts, a language model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlora import config as configuration
from fedlora.config import RunConfig
from fedlora.finetune.objectives.contract import Metric


@dataclass(frozen=True)
class Family:
    """One kind of client.

    config: of its rounds; methods, codecs, ranks and learning rates are set by the bench.
    full_rate: learning rate of full fine-tuning, whose steps are as many as LoRA's; as LoRA's own,
        a middle from which the bench sets out.
    rounds: before clients fine-tune, in a run that generates for newcomers.
    rival: rounds that newcomers can take part in, in the run that this is held against.
    route: sections of that run, laid over `config`.
    elsewhere: keys of `tasks` that make them others, to choose learning rates on. Of texts the seed
        stays, so that what tests a task that is reported trains none of them.
    head: whether its tasks share a classifier, which full fine-tuning trains as well.
    metric: its tasks are judged by.
    seeds: of each of its federations, at most.
    changes: further sections, laid over both.
    """

    name: str
    config: Path
    full_rate: float
    rounds: int
    rival: int
    route: Mapping[str, Any]
    elsewhere: Mapping[str, Any]
    head: bool = False
    metric: Metric = "accuracy"
    seeds: int = 5
    changes: Mapping[str, Any] = field(default_factory=dict)

    def run(self, **sections: Any) -> RunConfig:
        """Its configuration with whole sections, or single keys of them, replaced."""
        raw = configuration.load(self.config).model_dump(mode="json")
        for section, value in (*self.changes.items(), *sections.items()):
            merge = isinstance(value, dict) and section not in PARTS
            raw[section] = {**raw[section], **value} if merge else value
        return configuration.from_dict(raw, origin=str(self.config))


PARTS = ("codec", "codec_up", "generator")
"""Sections that name a part: the options of another part mean nothing to it."""

VISION = Family(
    name="vision",
    config=Path("configs/bench_comm.yaml"),
    full_rate=1e-3,
    rounds=6,
    rival=42,
    head=True,
    elsewhere={
        "seed": 1,
        "factors": {
            "rotation": {"low": 20, "high": 70, "steps": 6},
            "contrast": {"low": 0.4, "high": 0.9, "steps": 6},
        },
    },
    route={
        "tasks": {
            "bank": 36,
            "held_out": 12,
            "splits": {"train": 160, "validation": 16, "test": 200},
        },
        "finetune": {"epochs": 4, "learning_rate": 5e-3},
        "task_vector": {"samples": 96, "features": ["early"]},
        "generator": {"name": "kriging"},
    },
)
TEXT = Family(
    name="text",
    config=Path("configs/bench_comm_text.yaml"),
    full_rate=1e-4,
    rounds=3,
    rival=16,
    elsewhere={"classes_per_task": 7},
    route={
        "tasks": {
            "bank": 16,
            "held_out": 6,
            "splits": {"train": 96, "validation": 16, "test": 160},
        },
        "finetune": {"epochs": 3, "learning_rate": 1e-3},
        "generator": {"name": "kriging"},
    },
)
LANGUAGE = Family(
    name="language",
    config=Path("configs/bench_comm_lm.yaml"),
    full_rate=5e-5,
    rounds=2,
    rival=16,
    elsewhere={"column": "department"},
    route={
        "tasks": {"bank": 6, "held_out": 2},
        "finetune": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3},
        "generator": {"name": "topk"},
    },
    metric="nll",
    seeds=3,
)
FAMILIES = (VISION, TEXT, LANGUAGE)
