"""An experiment as a user begins it: one a file of tests."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fedlora.adapter import LoraAdapter
from scripts import prepare_data, train_generator
from tests.scripts.small_experiment import (
    HELD,
    SETTINGS,
    SPEC,
    TOPICS,
    as_peft,
    spoil,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints in two formats, prompts, and a configuration."""
    root = tmp_path_factory.mktemp("place")
    with (root / "prompts.jsonl").open("w") as file:
        for topic, words in TOPICS.items():
            for number in range(12):
                text = f"tell me about {words[number % 3]}, part {number}"
                file.write(json.dumps({"prompt": text, "task": topic}) + "\n")
    for seed, topic in enumerate(TOPICS):
        rng = torch.Generator().manual_seed(seed)
        base = torch.randn(SPEC.size, generator=rng)
        (root / "checkpoints" / topic).mkdir(parents=True)
        for number in (1, 2):
            noise = 0.05 * torch.randn(SPEC.size, generator=rng)
            adapter = LoraAdapter.from_flat(SPEC, base + noise)
            state = {f"{HELD}{name}": tensor for name, tensor in as_peft(adapter).items()}
            torch.save({"state_dict": state}, root / f"checkpoints/{topic}/epoch={number}.ckpt")
    (root / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
    return root


@pytest.fixture(scope="module")
def trained(place: Path, monkeypatch_module: pytest.MonkeyPatch) -> Path:
    monkeypatch_module.chdir(place)
    prepare_data.main(
        ["prepare", "--source", "prompts.jsonl", "--output_dir", "prepared",
         "--samples_per_prompt", "3", "--test_ratio", "0.25"]
    )  # fmt: skip
    train_generator.main(["--config", "config.yaml"])
    spoil(place)
    return next((place / "runs").iterdir())


@pytest.fixture(scope="module")
def monkeypatch_module() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch
