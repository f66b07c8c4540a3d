"""Whole federations killed at random instants, or left without room on the disk, and resumed."""

import json
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fedlora.bank import Bank
from fedlora.bank.quarantine import FOLDER
from fedlora.bench.trust.disk import disk, full_disk_said, make_room
from fedlora.client.client import Client
from fedlora.config import RunConfig, from_dict
from fedlora.errors import FedloraError
from fedlora.runtime.inprocess import InProcess
from fedlora.server.federation import federate
from fedlora.server.hardening import PHASE as TRIMMING
from fedlora.server.observer import Silent

SHARES = (0.2, 0.4, 0.6, 0.8, 0.95)
"""Of the room that a whole run takes, what a full disk has."""
Outcome = tuple[object, list[str]]
_TOLD = 3  # a child's exit status where it says that the disk is full


@dataclass(frozen=True)
class Interrupted:
    """Of runs that were stopped and went on.

    kills: of a run that was still at work. begun: how often it had a bank by then. opened: how
    often that bank was whole. resumed: how often the run went on to the same hashes, and the same
    verdicts, as one that was left alone. verdicts: of screening and trimming in that one.
    full: disks that ran full under a run. told: how often it ended in an error of one line, and
    went on to the same hashes once there was room. None where no disk could be mounted.
    """

    kills: int
    begun: int
    opened: int
    resumed: int
    verdicts: int
    full: int | None
    told: int | None


def tiny_run(**sections: Any) -> RunConfig:
    """Every phase of a federation, in seconds; some sections may be others, key by key."""
    raw: dict[str, Any] = {
        "name": "killed",
        "backbone": {"name": "tiny_vit"},
        "lora": {"rank": 2, "alpha": 4},
        "tasks": {
            "name": "image_domains",
            "bank": 6,
            "held_out": 1,
            "splits": {"train": 8, "validation": 8, "test": 8},
        },
        "warm_start": {"rounds": 2},
        "finetune": {"epochs": 1},
        "generator": {"name": "mean"},
        "evaluation": {"baselines": [], "one_epoch": False, "few_labels": 8},
    }
    for name, section in sections.items():
        raw[name] = {**raw.get(name, {}), **section}
    return from_dict(raw, "bench trust")


def guarded_run() -> RunConfig:
    """With verdicts to remember: in rounds, before the bank, and before what learns from it."""
    return tiny_run(
        tasks={"bank": 10},
        learning={"trim": 0.2, "folds": 2},
        attackers={"share": 0.2, "attack": {"name": "scaling", "boost": 30.0}},
    )


def interrupt_runs(folder: Path, count: int, seed: int) -> Interrupted:
    """Kill `count` runs, each somewhere between its first and its last moment, and resume them.

    Then fill a disk under one run for each of `SHARES`, where this process may mount one.
    """
    torch.set_num_threads(1)  # children are forked, and threads are not
    config, draw = guarded_run(), random.Random(seed)
    began = time.perf_counter()
    assert _live(config, folder / "whole") == 0
    seconds, expected = time.perf_counter() - began, _outcome(folder / "whole")
    kills = begun = opened = resumed = turn = 0
    while kills < count:
        place, turn = folder / f"run-{turn}", turn + 1
        child = _begin(config, place)
        time.sleep(draw.uniform(0.0, seconds))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            continue  # it was faster than the one that was timed
        kills += 1
        there = _is_begun(place / "bank")
        begun += there
        opened += there and _is_whole(place / "bank")
        resumed += _live(config, place) == 0 and _outcome(place) == expected
    room = sum(file.stat().st_size for file in (folder / "whole").rglob("*") if file.is_file())
    filled = [_fill(config, folder / "disk", int(share * room), expected) for share in SHARES]
    mounted = None not in filled
    full, told = (len(filled), sum(map(bool, filled))) if mounted else (None, None)
    return Interrupted(kills, begun, opened, resumed, len(expected[1]), full, told)


def _begin(config: RunConfig, place: Path) -> int:
    """A child that lives a run, or goes on with it."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        federate(config, 0, InProcess(Client(config, 0).handle), place, Silent())
        status = 0
    except FedloraError as error:
        status = _TOLD if full_disk_said(error) else 1
    finally:
        os._exit(status)


def _live(config: RunConfig, place: Path) -> int:
    """The exit status of a child that lives a run to its end."""
    _, status = os.waitpid(_begin(config, place), 0)
    return os.waitstatus_to_exitcode(status)


def _outcome(place: Path) -> Outcome:
    """A run's hashes, and its verdicts: who was lost and why, what waits, and what was left out."""
    lost = (place / "lost.jsonl").read_text().splitlines()
    # What a killed writer left half-written is there under another name, and counts for nothing.
    waiting = [file.name for file in (place / FOLDER).glob("*.safetensors")]
    metrics = (place / "metrics.jsonl").read_text().splitlines()
    trimmed = [line for line in metrics if json.loads(line).get("phase") == TRIMMING]
    hashes = json.loads((place / "facts.json").read_bytes())["fingerprint"]
    return hashes, sorted([*lost, *waiting, *trimmed])


def _is_begun(bank: Path) -> bool:
    return (bank / "index.sqlite").is_file()


def _is_whole(bank: Path) -> bool:
    """Whether a bank opens with every adapter whole."""
    try:
        Bank.open(bank).check()
    except FedloraError:
        return False
    return True


def _fill(config: RunConfig, place: Path, room: int, expected: Outcome) -> bool | None:
    """Whether a run on a full disk says so, and goes on; None where none can be mounted."""
    place.mkdir(exist_ok=True)
    with disk(place, room) as mounted:
        if not mounted:
            return None
        bank = place / "run" / "bank"
        if _live(config, place / "run") != _TOLD or (_is_begun(bank) and not _is_whole(bank)):
            return False
        make_room(place)
        return _live(config, place / "run") == 0 and _outcome(place / "run") == expected
