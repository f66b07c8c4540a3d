"""A workshop small enough for a test: four image tasks on the tiny ViT."""

from pathlib import Path
from typing import Any

from fedlora.config import RunConfig
from fedlora.pipeline.workshop import Workshop
from tests.conftest import small_config

TASKS = {
    "name": "image_domains",
    "bank": 4,
    "held_out": 1,
    "splits": {"train": 24, "validation": 10, "test": 20},
}


def workshop_config(**changes: Any) -> RunConfig:
    settings: dict[str, Any] = {"tasks": TASKS, "warm_start": {"rounds": 1}, **changes}
    return small_config(**settings)


def workshop(folder: Path, **changes: Any) -> Workshop:
    return Workshop.begin(workshop_config(**changes), folder)
