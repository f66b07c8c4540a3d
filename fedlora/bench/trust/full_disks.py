"""Banks that are written to until their disk is full."""

from dataclasses import dataclass
from pathlib import Path

import torch

from fedlora.adapter import LoraAdapter
from fedlora.bank import Bank, Record
from fedlora.bench.trust.disk import BLOCK, disk, full_disk_said, make_room
from fedlora.bench.trust.kills import SPEC
from fedlora.errors import FedloraError

ROOMS = tuple(blocks * BLOCK for blocks in range(8, 40))
"""Of the disks, in bytes: a block apart, so that each runs full in another step of a write."""


@dataclass(frozen=True)
class Filled:
    """Of banks whose disk ran full.

    full: how many there were. held: how many of them said so in one line, opened with every
    adapter whole, held what they had acknowledged and nothing else, and took another adapter
    once there was room. None where no disk could be mounted.
    """

    full: int | None
    held: int | None


def fill_disks(folder: Path) -> Filled:
    """Fill a bank on a disk of each of `ROOMS`, where this process may mount one."""
    folder.mkdir(parents=True)
    found = [_fill(folder, room) for room in ROOMS]
    if None in found:
        return Filled(None, None)
    return Filled(len(found), sum(map(bool, found)))


def _fill(place: Path, room: int) -> bool | None:
    with disk(place, room) as mounted:
        return _held(place, room) if mounted else None


def _held(place: Path, room: int) -> bool:
    """Whether a bank on a disk that runs full keeps what it owes."""
    folder, told = place / "bank", set[str]()
    try:
        bank = Bank.open(folder, SPEC, create=True)
        if not _refuses(bank, room, told) or not _refuses(bank, room, told):
            return False
        before = _holds(folder, told)
        make_room(place)
        told.add(_add(Bank.open(folder), room))
        return before and _holds(folder, told)
    except Exception:  # noqa: BLE001 - a crash is what the full disk is for
        return False


def _refuses(bank: Bank, room: int, told: set[str]) -> bool:
    """Whether adding to a bank ends in an error of one line; what it acknowledges is `told`."""
    try:
        for number in range(len(told), 1 + room // BLOCK):
            told.add(_add(bank, number))
    except FedloraError as error:
        return full_disk_said(error)
    return False


def _holds(folder: Path, told: set[str]) -> bool:
    bank = Bank.open(folder)
    bank.check()
    return {record.digest for record in bank.records()} == told


def _add(bank: Bank, number: int) -> str:
    values = torch.randn(SPEC.size, generator=torch.Generator().manual_seed(number))
    adapter = LoraAdapter.from_flat(SPEC, values)
    return bank.add(Record("task", 0, 0, number, 4, 0, {}), adapter, torch.ones(3))
