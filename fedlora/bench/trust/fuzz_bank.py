"""Adapters on their way into a bank, exported or in quarantine; no refusal may change the bank."""

import hashlib
import shutil
import tempfile
from functools import partial
from pathlib import Path

import torch

from fedlora.adapter import LoraAdapter, peft_folder
from fedlora.bank import Bank, Record
from fedlora.bank.folders import export_peft, peft_arrivals
from fedlora.bank.quarantine import FOLDER, Quarantine
from fedlora.bench.trust.fuzz_target import ADAPTER, Target
from fedlora.bench.trust.kill_runs import tiny_run
from fedlora.server.outsiders import let_in

FILES = (
    "record.json",
    "task_vector.safetensors",
    peft_folder.WEIGHTS,
    peft_folder.CONFIG,
    peft_folder.SIDECAR,
)
"""Of an exported folder, all that an import reads."""


def bank_targets() -> list[Target]:
    """A bank's import, one of a folder's files mutated and the others sound; and a quarantine."""
    return [*map(_import, FILES), _quarantine()]


def _import(name: str) -> Target:
    """A bank that holds others already, enough to be compared with, and begins anew after each.

    All lies in a folder that is there as long as the target is.
    """
    scratch = tempfile.TemporaryDirectory(prefix="fuzz-")
    root = Path(scratch.name)
    donor = Bank.open(root / "donor", ADAPTER.spec, create=True)
    donor.add(_record("given"), ADAPTER, torch.ones(3))
    (exported,) = export_peft(donor, root / "exported", "base")
    config = tiny_run()
    bank = Bank.open(root / "bank", ADAPTER.spec, create=True)
    for number in range(config.screening.least):
        other = LoraAdapter.from_flat(ADAPTER.spec, ADAPTER.flatten().roll(number + 1))
        bank.add(_record(f"held {number}"), other, torch.full((3,), number / 8))
    shutil.copytree(bank.folder, root / "first")

    def enter(_: tempfile.TemporaryDirectory[str], data: bytes) -> None:
        (exported / name).write_bytes(data)
        let_in(config, root, bank, peft_arrivals(bank, exported))
        bank.check()  # refuses where the bank took what it cannot read, and so has changed
        shutil.rmtree(root / FOLDER, ignore_errors=True)
        shutil.rmtree(bank.folder)
        shutil.copytree(root / "first", bank.folder)

    seed = (exported / name).read_bytes()
    return Target(f"import, {name}", [seed], partial(enter, scratch), partial(_state, bank))


def _state(bank: Bank) -> str:
    """A hash of the bank as it reads, and of every adapter's file."""
    total = hashlib.sha256(bank.digest().encode())
    for file in sorted(bank.folder.rglob("*.safetensors")):
        total.update(str(file.relative_to(bank.folder)).encode())
        total.update(file.read_bytes())
    return total.hexdigest()


def _quarantine() -> Target:
    scratch = tempfile.TemporaryDirectory(prefix="fuzz-")
    folder = Path(scratch.name)
    name = Quarantine(folder).hold(_record("odd"), ADAPTER, torch.ones(3), "a norm of 9")
    file = folder / f"{name}.safetensors"

    def find(_: tempfile.TemporaryDirectory[str], data: bytes) -> object:
        file.write_bytes(data)
        return Quarantine(folder).find(name)

    return Target("quarantine", [file.read_bytes()], partial(find, scratch))


def _record(task: str) -> Record:
    return Record(task, 0, 0, 0, 2, 0, {"accuracy": 0.5})
