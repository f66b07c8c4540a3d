"""`fedlora bank coverage` on a bank of its own."""

import json
from pathlib import Path

import torch
from typer.testing import CliRunner

from fedlora.bank import Bank, Record
from fedlora.cli import app
from tests.generators.linear_family import SPEC, linear_family


def test_a_bank_says_where_it_is_thin(tmp_path: Path) -> None:
    family = linear_family(tasks=5, samples=2).bank
    bank = Bank.open(tmp_path / "bank", SPEC, create=True)
    for number, (adapter, task) in enumerate(zip(family.adapters, family.tasks, strict=True)):
        record = Record(task, number // 2, 1, number % 2, rank=4, seed=0, metrics={})
        bank.add(record, adapter, torch.as_tensor(family.conditions[number - number % 2]))

    done = CliRunner().invoke(
        app, ["bank", "coverage", str(tmp_path / "bank"), "--json"], catch_exceptions=False
    )

    spots = json.loads(done.stdout)
    assert {spot["task"] for spot in spots} == set(family.tasks)
    assert len(spots) == 5
    assert all(spot["in_bank"] and spot["foretold"] > 0 and spot["missed"] > 0 for spot in spots)
