"""Files of others: adapters, checkpoints, configurations, annotations, ledgers and records."""

import io
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from fedlora import frame
from fedlora.adapter import peft_folder
from fedlora.adapter.checkpoint_file import read_checkpoint
from fedlora.bank.plain_files import read_plain
from fedlora.bench.trust.fuzz_target import ADAPTER, Target
from fedlora.config import load
from fedlora.tasks.detection.jsonl import read_annotations
from fedlora.tasks.records import read_records

_CONFIG = b"""\
name: fuzzed
backbone: {name: tiny_vit}
tasks: {name: image_domains, bank: 4, held_out: 1}
generator: {name: ridge}
rounds: {timeout: 1.5e3, min_answers: 0.5}
"""
_ANNOTATION = {
    "id": "image_1",
    "image_path": "images/1.png",
    "height": 48,
    "width": 64,
    "suffix": "dog<loc_120><loc_85><loc_340><loc_250> cat<loc_50><loc_30><loc_150><loc_200>",
}
_PEFT = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": "a|b", "lora_dropout": 0.0}


def file_targets() -> list[Target]:
    """Every reader of a file that a user may have got from somebody.

    The files lie in a folder that is there as long as the targets are.
    """
    scratch = tempfile.TemporaryDirectory(prefix="fuzz-")
    weights = frame.pack(_tensors(), "format", "pt")

    def plain(file: Path) -> object:
        return read_plain(file, ADAPTER.spec, {})

    def target(name: str, file: str, read: Callable[[Path], object], *seeds: bytes) -> Target:
        def through(data: bytes) -> object:
            path = Path(scratch.name) / file
            path.write_bytes(data)
            return read(path)

        return Target(name, seeds, through)

    return [
        *_folder_targets(scratch),
        target("safetensors file", "a.safetensors", read_checkpoint, weights),
        target("PyTorch file", "a.ckpt", read_checkpoint, *map(_checkpoint, (True, False))),
        target("plain adapter", "plain.safetensors", plain, weights),
        target("flattened adapter", "plain.pth", plain, _flattened()),
        target("configuration", "run.yaml", load, _CONFIG),
        target("annotations", "train.jsonl", read_annotations, _lines(_ANNOTATION)),
        target("examples", "rows.csv", read_records, b'text,label\n"a, b",x\nc,y\n'),
    ]


def _folder_targets(scratch: tempfile.TemporaryDirectory[str]) -> list[Target]:
    """A PEFT folder, one of its files mutated and the others sound."""
    sidecar = {"spec": json.loads(ADAPTER.spec.to_json()), "digest": ADAPTER.digest()}
    sound = {
        peft_folder.CONFIG: json.dumps(_PEFT).encode(),
        peft_folder.WEIGHTS: frame.pack(_tensors(), "format", "pt"),
        peft_folder.SIDECAR: json.dumps(sidecar).encode(),
    }

    def through(name: str, data: bytes) -> object:
        folder = Path(scratch.name) / f"without {name}"
        folder.mkdir(exist_ok=True)
        for other, content in (sound | {name: data}).items():
            (folder / other).write_bytes(content)
        return peft_folder.load(folder, ADAPTER.spec.base)

    return [
        Target(f"adapter folder, {name}", [content], partial(through, name))
        for name, content in sound.items()
    ]


def _checkpoint(archive: bool) -> bytes:
    """As PyTorch writes it today, or as it did before 1.6, without an archive around it."""
    file = io.BytesIO()
    held = {"state_dict": _tensors(), "epoch": 3}
    torch.save(held, file, _use_new_zipfile_serialization=archive)
    return file.getvalue()


def _flattened() -> bytes:
    """As ICM-LoRA writes it: all values z-scored in one row, and each tensor's facts beside it."""
    held: dict[str, object] = {}
    rows = []
    for name, tensor in _tensors().items():
        std, mean = torch.std_mean(tensor)
        rows.append(((tensor - mean) / std).flatten())
        held[name] = {
            "mean": mean, "std": std, "length": tensor.numel(), "shape": tensor.shape
        }  # fmt: skip
    file = io.BytesIO()
    torch.save({**held, "data": torch.cat(rows)}, file)
    return file.getvalue()


def _tensors() -> dict[str, Tensor]:
    """The adapter's, under PEFT's names."""
    return {
        f"{peft_folder.PREFIX}{layer.name}{end}": side[layer.name]
        for layer in ADAPTER.spec.layers
        for end, side in ((peft_folder.DOWN, ADAPTER.down), (peft_folder.UP, ADAPTER.up))
    }


def _lines(row: dict[str, object]) -> bytes:
    return 2 * (json.dumps(row).encode() + b"\n")
