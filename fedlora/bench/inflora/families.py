"""The streams that are judged, and what is tried on them before."""

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageClassification


@dataclass(frozen=True)
class Entry:
    """A method as the tables name it.

    space: whether it keeps one, so that it has a threshold.
    aligned: whether it tells the classes of all tasks apart, which it is then chosen by.
    """

    label: str
    method: str
    space: bool = False
    aligned: bool = False


SEQUENTIAL = Entry("seq_lora", "seq_lora")
INFLORA = Entry("inflora", "inflora", space=True)
RANDOM = Entry("random_down", "random_down")
METHODS = (
    SEQUENTIAL,
    INFLORA,
    RANDOM,
    Entry("complement_only", "complement_only", space=True),
    Entry("subspace_only", "subspace_only"),
    Entry("olora", "olora"),
    Entry("replay", "replay"),
    Entry("frozen", "frozen"),
    Entry("inflora_ca", "inflora_ca", space=True, aligned=True),
    Entry("frozen_ca", "frozen", aligned=True),
    Entry("joint", "joint"),
)


@dataclass(frozen=True)
class Family:
    """A stream: base model, tasks, local training; the seed orders classes and splits.

    backbone: None for a ViT of the mini ViT's shape that has learned nothing yet.
    methods: that live it on one machine.
    federated: whether it is dealt to clients too.
    """

    name: str
    backbone: str | None
    tasks: dict[str, Any]
    train: dict[str, Any]
    methods: tuple[Entry, ...] = METHODS
    federated: bool = False


DIGITS = Family(
    "digits",
    None,
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
        "splits": {"train": 200, "validation": 100, "test": 250},
    },
    {"epochs": 5, "batch_size": 32, "learning_rate": 5e-3},
)
PRETRAINED = replace(
    DIGITS,
    name="digits, pretrained",
    backbone="mini_vit",
    methods=(SEQUENTIAL, INFLORA, RANDOM),
    federated=True,
)
FAMILIES = (DIGITS, FASHION, PRETRAINED)


def save_untrained(folder: Path, seed: int) -> None:
    """Write a ViT of the mini ViT's shape with the weights that a seed draws."""
    shape = AutoConfig.from_pretrained(str(files("fedlora") / "assets" / "mini_vit"))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        AutoModelForImageClassification.from_config(shape).save_pretrained(folder)
