"""The streams that are judged, and what is tried on them before."""

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageClassification


@dataclass(frozen=True)
class Family:
    """A stream: base model, tasks, local training; the seed orders classes and splits.

    backbone: None for a ViT of the mini ViT's shape that has learned nothing yet.
    federated: whether it is dealt to clients too.
    aligned: whether methods with class alignment, and those beside which they are seen, take part.
    """

    name: str
    backbone: str | None
    tasks: dict[str, Any]
    train: dict[str, Any]
    federated: bool = False
    aligned: bool = True


DIGITS = Family(
    "digits",
    None,
    {
        "source": {"name": "digits", "size": 8},
        "splits": {"train": 200, "validation": 60, "test": 120},
    },
    {"epochs": 10, "batch_size": 32},
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
    {"epochs": 5, "batch_size": 32},
)
PRETRAINED = replace(
    DIGITS, name="digits, pretrained", backbone="mini_vit", federated=True, aligned=False
)
FAMILIES = (DIGITS, FASHION, PRETRAINED)


def save_untrained(folder: Path, seed: int) -> None:
    """Write a ViT of the mini ViT's shape with the weights that a seed draws."""
    shape = AutoConfig.from_pretrained(str(files("fedlora") / "assets" / "mini_vit"))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        AutoModelForImageClassification.from_config(shape).save_pretrained(folder)
