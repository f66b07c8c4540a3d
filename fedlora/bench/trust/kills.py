"""SIGKILL in the middle of writes to a bank."""

import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.bank import Bank, Record
from fedlora.errors import FedloraError

SPEC = AdapterSpec("0" * 64, (LayerSpec("a", 64, 64, 4),), 8.0)
"""Of what writers add."""
_LINE = 65  # a digest and a line's end


@dataclass(frozen=True)
class Survived:
    """Of a bank whose writers were killed again and again.

    kills: of a writer that was still at work. opened: how often the bank opened after one, every
    adapter in it whole. acknowledged, missing: adapters of which the writer was told that they
    are kept, and those among them that were not there.
    """

    kills: int
    opened: int
    acknowledged: int
    missing: int


def kill_writers(folder: Path, count: int, seed: int) -> Survived:
    """Kill `count` processes, one after another, each while it fills the same bank."""
    draw = random.Random(seed)
    Bank.open(folder, SPEC, create=True)
    kills = opened = 0
    told: set[str] = set()
    for turn in range(count):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _fill(folder, turn, writer)
        os.close(writer)
        said = os.read(reader, _LINE)
        time.sleep(draw.uniform(0.0, 0.05))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status)
        said += os.read(reader, 1 << 16)
        os.close(reader)
        told |= {said[at : at + _LINE - 1].decode() for at in range(0, len(said), _LINE)}
        with contextlib.suppress(FedloraError):
            Bank.open(folder).check()
            opened += 1
    there = {record.digest for record in Bank.open(folder).records()}
    return Survived(kills, opened, len(told), len(told - there))


def _fill(folder: Path, turn: int, writer: int) -> None:
    """In a child: add adapters until killed, each acknowledged once it is kept."""
    try:
        bank, number = Bank.open(folder), 0
        while True:
            generator = torch.Generator().manual_seed(turn << 20 | number)
            values = torch.randn(SPEC.size, generator=generator)
            adapter = LoraAdapter.from_flat(SPEC, values)
            digest = bank.add(Record("task", turn, 0, number, 4, 0, {}), adapter, torch.ones(3))
            os.write(writer, f"{digest}\n".encode())
            number += 1
    finally:
        os._exit(1)
