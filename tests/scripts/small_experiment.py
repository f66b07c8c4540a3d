"""Checkpoints, prompts and settings of an experiment that trains in seconds."""

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter, peft_folder
from fedlora.adapter.checkpoint_file import UNKNOWN

SPEC = AdapterSpec("unknown", (LayerSpec("a.q", 12, 8, 2), LayerSpec("a.v", 12, 8, 2)), 2.0)
HELD = "model.base_model.model."
"""Before the names of layers in a LightningModule whose attribute `model` is a PEFT model."""
TOPICS = {
    "food": ("bread", "soup", "cheese"),
    "sport": ("football", "running", "chess"),
    "weather": ("rain", "storms", "snow"),
    "music": ("violins", "drums", "songs"),
}
SETTINGS: dict[str, Any] = {
    "name": "words",
    "checkpoint_dir": "checkpoints",
    "prompts": "prepared",
    "held_out": ["music"],
    "generator": {
        "name": "hyperconv",
        "tokens": {"token_dim": 26},
        "decoder": {"hidden": 32, "blocks": 1},
        "training": {"epochs": 30, "batch_size": 6, "learning_rate": 3e-3},
    },
}


def as_peft(adapter: LoraAdapter) -> dict[str, torch.Tensor]:
    sides = ((peft_folder.DOWN, adapter.down), (peft_folder.UP, adapter.up))
    return {f"{name}{end}": tensor for end, side in sides for name, tensor in side.items()}


def call(script: ModuleType, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    script.main([*words, "--json"])
    lines = capsys.readouterr().out
    return json.JSONDecoder().raw_decode(lines[lines.rindex("\n[") + 1 if "\n[" in lines else 0 :])[
        0
    ]


def spoil(place: Path) -> None:
    """Beside what is right: an encoder without weights, one text for all, an untrained adapter."""
    (place / "bare").mkdir()
    (place / "bare" / "config.json").write_text("{}")
    shutil.copytree(place / "prepared", place / "same")
    for file in (place / "same").glob("*.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        told = [row | {"prompt": f"{file.stem} {n % 9}"} for n, row in enumerate(rows)]
        file.write_text("".join(json.dumps(row) + "\n" for row in told))
    shutil.copytree(place / "checkpoints" / "food", place / "flat")
    shutil.copytree(place / "checkpoints", place / "untrained")
    blank = {
        f"{HELD}{name}": tensor * ("lora_A" in name)
        for name, tensor in as_peft(LoraAdapter.from_flat(SPEC, torch.ones(SPEC.size))).items()
    }
    torch.save({"state_dict": blank}, place / "untrained/food/epoch=0.ckpt")


def folder_of_each(root: Path, specs: dict[str, list[AdapterSpec]], **said: Any) -> Path:
    """ROOT/TASK/N, PEFT folders as PEFT itself writes them; of an unknown base, plain files."""
    draw = torch.Generator().manual_seed(len(specs))
    for task, own in specs.items():
        for number, spec in enumerate(own):
            adapter = LoraAdapter.from_flat(spec, torch.randn(spec.size, generator=draw))
            if spec.base == UNKNOWN:
                (root / task).mkdir(parents=True, exist_ok=True)
                torch.save(as_peft(adapter), root / task / f"{number}.pt")
            else:
                peft_folder.save(adapter, root / task / str(number), spec.base, **said)
                (root / task / str(number) / peft_folder.SIDECAR).unlink()
    return root
