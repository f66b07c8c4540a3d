"""Adapters in files that say nothing of their task: safetensors, and ICM-LoRA's flattened ones."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from fedlora import foreign, frame
from fedlora.adapter import LoraAdapter, peft_folder
from fedlora.adapter.place import check_place
from fedlora.adapter.spec import AdapterSpec
from fedlora.adapter.torch_file import check_tensor, read_torch
from fedlora.bank.arrival import Arrival
from fedlora.bank.record import IMPORTED, Record
from fedlora.bank.store import Bank
from fedlora.errors import FedloraError

SUFFIXES = (".safetensors", ".pth")
_UNREADABLE = (  # what values of other types than ICM-LoRA writes lead to
    RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError
)  # fmt: skip


def plain_arrivals(
    bank: Bank, path: Path, task: str, vector: Tensor, renamed: Mapping[str, str]
) -> list[Arrival]:
    """Every adapter file at a path, or in a folder of them, as a sample of one task.

    The number in a file's name, such as an epoch, becomes the sample's; alpha and rsLoRA are
    taken from the bank.

    Args:
        bank: where to.
        path: a file or a folder.
        task: the task's name.
        vector: the task vector (c,).
        renamed: as for `read_plain`.

    Raises:
        FedloraError: a file holds no adapter of the bank's place.
    """
    arrivals = []
    for file in plain_files(path):
        read = partial(read_plain, file, bank.spec, renamed)
        adapter = read()
        check_place(adapter.spec, bank.spec)
        rank = max(layer.rank for layer in adapter.spec.layers)
        record = Record(task, IMPORTED, 0, sample_number(file), rank, 0, {})
        arrivals.append(Arrival(record, vector, adapter.digest(), read))
    return arrivals


def plain_files(path: Path) -> list[Path]:
    """The adapter files at a path, or in a folder of them, by the number in their names.

    Raises:
        FedloraError: there is none.
    """
    files = [path] if path.is_file() else path.glob("*") if path.is_dir() else []
    found = [file for file in files if file.suffix in SUFFIXES]
    if not found:
        raise FedloraError(f"'{path}': no adapter there; name a PEFT folder, .safetensors or .pth")
    return sorted(found, key=lambda file: (sample_number(file), file.name))


def sample_number(file: Path) -> int:
    """The last number in a file's name, such as the epoch in adapter_model_99; 0 without one."""
    numbers = re.findall(r"\d+", file.stem)
    return int(numbers[-1]) if numbers else 0


def read_plain(file: Path, expected: AdapterSpec, renamed: Mapping[str, str]) -> LoraAdapter:
    """An adapter in a file of its own.

    A .safetensors file holds PEFT's tensors under PEFT's names. A .pth file is what ICM-LoRA's
    normalizeLoraWeight_small.py writes: all values z-scored tensor by tensor in `data`, and each
    tensor's mean, std, length and shape under its name. PyTorch reads it without running code.

    Args:
        file: the file.
        expected: the base model, alpha and rsLoRA, which such a file does not say.
        renamed: beginnings of layer names, as they are in the file and as they are in the base
            model; of several that fit, the longest counts.

    Raises:
        FedloraError: the file is damaged, or holds something other than plain LoRA.
    """
    tensors = _flattened(file) if file.suffix == ".pth" else _safetensors(file)
    named = {_rename(name, renamed): tensor for name, tensor in tensors.items()}
    config = {"lora_alpha": expected.alpha, "use_rslora": expected.rslora}
    try:
        return peft_folder.assemble(named, config, expected.base)
    except FedloraError as error:
        raise FedloraError(f"'{file}': {error}") from None


def _safetensors(file: Path) -> dict[str, Tensor]:
    data = foreign.read_bytes(file)
    try:
        return frame.unpack(data, limit=len(data))[0]
    except FedloraError as error:
        raise FedloraError(f"'{file}': {error}; copy it again") from None


def _flattened(file: Path) -> dict[str, Tensor]:
    held: Any = read_torch(file)
    try:
        check_tensor(file, "data", held["data"])
        values = held["data"].float()
        facts = {name: fact for name, fact in held.items() if name != "data"}
        parts = values.split([int(fact["length"]) for fact in facts.values()])
        return {
            name: (part * float(fact["std"]) + float(fact["mean"])).reshape(tuple(fact["shape"]))
            for part, (name, fact) in zip(parts, facts.items(), strict=True)
        }
    except _UNREADABLE as error:
        first = str(error).strip().partition("\n")[0][:120]
        raise FedloraError(f"'{file}': not a flattened adapter of ICM-LoRA's ({first})") from None


def _rename(name: str, renamed: Mapping[str, str]) -> str:
    bare = name.removeprefix(peft_folder.PREFIX)
    for old in sorted(renamed, key=len, reverse=True):
        if bare == old or bare.startswith(f"{old}."):
            return f"{peft_folder.PREFIX}{renamed[old]}{bare[len(old) :]}"
    return name
