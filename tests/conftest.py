"""A federation small enough for a test and real in every part."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from fedlora.config import RunConfig, from_dict


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that two workers end together."""
    items.sort(key=lambda item: "runtime" not in item.path.parts)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` laid over `base`, section by section; None takes a key away."""
    out = dict(base)
    for key, value in changes.items():
        if value is None:
            out.pop(key, None)
            continue
        known = out.get(key)
        out[key] = (
            merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
        )
    return out


SMALL: dict[str, Any] = {
    "name": "small",
    "backbone": {"name": "tiny_vit"},
    "lora": {"rank": 2, "alpha": 4},
    "tasks": {
        "name": "image_domains",
        "bank": 6,
        "held_out": 2,
        "splits": {"train": 24, "validation": 10, "test": 40},
    },
    "warm_start": {"rounds": 2, "train": {"epochs": 1, "batch_size": 8}},
    "finetune": {"epochs": 2, "batch_size": 8, "checkpoints": 2},
    "generator": {"name": "ridge"},
    "adoption": {"policy": {"name": "given"}},
    "evaluation": {"baselines": [{"name": "mean"}, {"name": "topk"}], "few_labels": 8},
}


def small_config(**changes: Any) -> RunConfig:
    """The small federation, with sections changed."""
    return from_dict(merged(SMALL, changes), "test")


@contextmanager
def killed_at(owner: Any, name: str) -> Iterator[None]:
    """What is done inside ends where `owner.name` is called, as if somebody had pressed Ctrl-C."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.fixture
def config() -> RunConfig:
    return small_config()
