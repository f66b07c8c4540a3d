"""How soon, and how surely, a dry run says what is wrong."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from fedlora.adapter import LoraAdapter, peft_folder
from fedlora.backbone.text_encoder import encoder_width
from fedlora.backbone.weights import locate
from fedlora.bench.hyperconv.speed import MINILM, drawn
from fedlora.errors import FedloraError
from fedlora.pipeline.experiment.prepare import prepare
from fedlora.pipeline.experiment.settings import load
from fedlora.pipeline.experiment.study import open_study

TASKS, CHECKPOINTS = 12, 2


def lay_out(root: Path) -> Path:
    """Twelve tasks of two MiniLM checkpoints each, their prompts, and a configuration."""
    prompts = []
    for task in range(TASKS):
        folder = root / "checkpoints" / f"task{task}"
        folder.mkdir(parents=True)
        for number in range(CHECKPOINTS):
            save_file(_tensors(drawn(MINILM, 10 * task + number)), folder / f"{number}.safetensors")
        prompts += [{"prompt": f"question {i} of {task}", "task": f"task{task}"} for i in range(12)]
    (root / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    prepare(root / "prompts.jsonl", root / "prepared", 4, 0.34)
    settings = {
        "name": "bench",
        "checkpoint_dir": str(root / "checkpoints"),
        "prompts": str(root / "prepared"),
    }
    (root / "config.yaml").write_text(yaml.safe_dump(settings))
    return root / "config.yaml"


def dry_run(config: Path, *overrides: str) -> float:
    """CPU seconds of one, imports apart.

    Raises:
        FedloraError: it found a mistake.
    """
    started = time.process_time()
    study = open_study(load(config, overrides))
    encoder = study.config.encoder
    study.plan(encoder_width(encoder.name, encoder.max_length))
    return time.process_time() - started


def found(root: Path) -> tuple[int, int]:
    """Mistakes that a dry run found, each planted alone, and how many there were."""
    config = root / "config.yaml"
    planted: list[Callable[[Path], Any]] = [_torn, _pickled, _other_rank, _not_finite, _no_lora,
                                            _copied, _unprompted, _bad_line, _untrained,
                                            _same_prompts]  # fmt: skip
    named = ["generator.decoder.hiden=3", "generator.tokens.max_tokens=10", "held_out=[none]",
             "generator.decoder.blocks=0", "encoder.name=./none", "prompts=none",
             "checkpoint_dir=none", "generator.samples_per_prompt=3", "tracker.name=none",
             "generator.training.learning_rate=0", "encoder.name=tiny_vit",
             "encoder.max_length=4096", "generator.prompt_width=7", "generator.test_ratio=0.9",
             f"out={config}/runs", f"encoder.name={root / 'bare'}",
             *([] if torch.cuda.is_available() else ["generator.training.precision=16-mixed"]),
             "generator={name: corrected, training: {patience: 3}}"]  # fmt: skip
    (root / "bare").mkdir(exist_ok=True)
    shutil.copy(Path(locate("minilm")) / "config.json", root / "bare")
    caught = sum(_caught(config, override) for override in named)
    for plant in planted:
        spoilt = root / "spoilt"
        shutil.copytree(root / "checkpoints", spoilt / "checkpoints")
        shutil.copytree(root / "prepared", spoilt / "prepared")
        plant(spoilt)
        caught += _caught(
            config, f"checkpoint_dir={spoilt / 'checkpoints'}", f"prompts={spoilt / 'prepared'}"
        )
        shutil.rmtree(spoilt)
    return caught, len(named) + len(planted)


def _caught(config: Path, *overrides: str) -> bool:
    try:
        dry_run(config, *overrides)
    except FedloraError as error:
        return "\n" not in str(error)
    return False


def _tensors(adapter: LoraAdapter) -> dict[str, torch.Tensor]:
    sides = ((peft_folder.DOWN, adapter.down), (peft_folder.UP, adapter.up))
    return {
        f"{peft_folder.PREFIX}{name}{end}": tensor.clone()
        for end, side in sides
        for name, tensor in side.items()
    }


def _copied(root: Path) -> None:
    shutil.copy(root / "checkpoints/task3/1.safetensors", root / "checkpoints/task4/1.safetensors")


def _torn(root: Path) -> None:
    file = root / "checkpoints/task3/1.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def _pickled(root: Path) -> None:
    torch.save({"state_dict": {}, "where": root}, root / "checkpoints/task3/2.ckpt")


def _other_rank(root: Path) -> None:
    narrow = _tensors(drawn(MINILM.with_rank(4), 1))
    save_file(narrow, root / "checkpoints/task5/1.safetensors")


def _not_finite(root: Path) -> None:
    tensors = _tensors(drawn(MINILM, 1))
    next(iter(tensors.values()))[0, 0] = torch.nan
    torch.save(tensors, root / "checkpoints/task5/2.pt")


def _no_lora(root: Path) -> None:
    torch.save({"weight": torch.ones(2)}, root / "checkpoints/task5/2.pt")


def _unprompted(root: Path) -> None:
    shutil.copytree(root / "checkpoints/task1", root / "checkpoints/nobody")


def _bad_line(root: Path) -> None:
    with (root / "prepared/train.jsonl").open("a") as file:
        file.write('{"prompt": \n')


def _untrained(root: Path) -> None:
    blank = {
        name: tensor * (peft_folder.DOWN in name)
        for name, tensor in _tensors(drawn(MINILM, 1)).items()
    }
    save_file(blank, root / "checkpoints/task5/0.safetensors")


def _same_prompts(root: Path) -> None:
    file = root / "prepared/train.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    said = [row["prompt"] for row in rows if row["task"] == "task1"]
    others = iter(said)
    told = [row | {"prompt": next(others)} if row["task"] == "task2" else row for row in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in told))
