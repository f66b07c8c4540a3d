"""Turn a JSON configuration of the original InfLoRA code into one of fedlora's.

    python scripts/convert_inflora.py cifar100_inflora.json --data data/cifar100 > mine.yaml

What has no counterpart here is named on standard error, never dropped in silence.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from fedlora.config import from_dict
from fedlora.errors import FedloraError

METHODS = {"InfLoRA": "inflora", "InfLoRAb5": "inflora", "InfLoRA_CA": "inflora_ca"}
SOURCES = {
    "cifar100": lambda data: {"name": "cifar100", "path": data},
    "cifar100_vit": lambda data: {"name": "cifar100", "path": data},
    "imagenet_r": lambda data: {"name": "files", "path": data, "size": 224, "channels": 3},
    "imagenetr": lambda data: {"name": "files", "path": data, "size": 224, "channels": 3},
    "domainnet": lambda data: {"name": "domainnet", "path": data, "size": 224},
}
CLASSES = {
    "cifar100": 100, "cifar100_vit": 100, "imagenet_r": 200, "imagenetr": 200, "domainnet": 345,
}  # fmt: skip
USED = {
    "dataset", "model_name", "increment", "init_cls", "seed", "rank", "lamb", "lame", "epochs",
    "init_epoch", "batch_size", "lrate", "init_lr", "shuffle", "total_sessions", "prefix",
    "convnet_type",
}  # fmt: skip


def convert(raw: dict[str, Any], data: str, backbone: str) -> dict[str, Any]:
    """The sections of a fedlora configuration.

    Raises:
        FedloraError: the method or data set is not one that fedlora has, or a key is missing.
    """
    if not isinstance(raw, dict):
        raise FedloraError(f"give a JSON object of settings, not {type(raw).__name__}")
    method, source = raw.get("model_name"), str(raw.get("dataset", "")).lower()
    if method not in METHODS:
        raise FedloraError(f"model_name: '{method}' is none of {', '.join(METHODS)}")
    if source not in SOURCES:
        raise FedloraError(f"dataset: '{source}' is none of {', '.join(SOURCES)}")
    for key in ("rank", "lamb", "lame", "increment"):
        if key not in raw:
            raise FedloraError(f"{key}: missing; give it a value")
    if type(raw["increment"]) is not int or raw["increment"] < 1:
        raise FedloraError(f"increment: {raw['increment']!r} is no number of classes of a task")
    if raw.get("init_cls", raw["increment"]) != raw["increment"]:
        raise FedloraError("init_cls: tasks here have classes alike; set it to increment")
    tasks, count = raw.get("total_sessions"), CLASSES.get(source)
    if tasks is not None and type(tasks) is not int:
        raise FedloraError(f"total_sessions: {tasks!r} is no number of tasks")
    if tasks is not None and count is not None and tasks * raw["increment"] != count:
        raise FedloraError(f"total_sessions: {count} classes are {count // raw['increment']} tasks")
    seeds = raw.get("seed", 0)
    rate = raw.get("lrate", raw.get("init_lr", 5e-4))
    return {
        "name": f"{source}_{METHODS[method]}",
        "seeds": seeds if isinstance(seeds, list) else [seeds],
        "backbone": {"name": backbone},
        "lora": {"rank": raw["rank"], "alpha": raw["rank"], "targets": ["k_proj", "v_proj"]},
        "tasks": {
            "name": "class_stream",
            "source": SOURCES[source](data),
            "classes_per_task": raw["increment"],
            "shuffle": bool(raw.get("shuffle", True)),
            "splits": {"train": 10**6, "validation": 1, "test": 10**6},
        },
        "finetune": {
            "epochs": raw.get("epochs", raw.get("init_epoch", 20)),
            "batch_size": raw.get("batch_size", 128),
            "learning_rate": rate,
        },
        "continual": {
            "method": {
                "name": METHODS[method],
                "threshold_first": raw["lamb"],
                "threshold_last": raw["lame"],
                "energy": "covariance",
            }
        },
    }


def _overruled(raw: dict[str, Any]) -> set[str]:
    """Settings of the first task where those of all tasks are given too, and count."""
    pairs = (("init_epoch", "epochs"), ("init_lr", "lrate"))
    return {first for first, every in pairs if first in raw and every in raw}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="a JSON configuration of the original code")
    parser.add_argument("--data", required=True, help="folder of the data set")
    parser.add_argument("--backbone", default="google/vit-base-patch16-224-in21k")
    arguments = parser.parse_args()
    try:
        try:
            raw = json.loads(arguments.file.read_text())
        except ValueError as error:
            raise FedloraError(f"{arguments.file}: not JSON ({error})") from None
        sections = convert(raw, arguments.data, arguments.backbone)
        from_dict(sections, str(arguments.file))
    except (FedloraError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for key in sorted(set(raw) - USED | _overruled(raw)):
        print(f"not carried over: {key}={raw[key]!r}", file=sys.stderr)
    print(yaml.safe_dump(sections, sort_keys=False), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
