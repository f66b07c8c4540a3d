"""Who stands out waits in quarantine; the others' bank is as if it had never answered."""

import json
from pathlib import Path

from fedlora.bank import Bank
from fedlora.bank.quarantine import FOLDER, Quarantine
from fedlora.client.client import Client
from fedlora.config import RunConfig
from fedlora.runtime.inprocess import InProcess
from fedlora.server.asking import Asker
from fedlora.server.federation import federate
from fedlora.server.observer import Silent
from tests.conftest import killed_at, small_config

SHORT = {
    "tasks": {"bank": 9, "held_out": 1, "splits": {"train": 8, "validation": 8, "test": 8}},
    "warm_start": {"rounds": 1},
    "finetune": {"epochs": 1},
    "generator": {"name": "mean"},
    "evaluation": {"baselines": [], "one_epoch": False},
}
ATTACK = {"attack": {"name": "scaling", "boost": 30.0}, "share": 0.1}


def live(config: RunConfig, folder: Path) -> dict[str, str]:
    """A run's hashes."""
    federate(config, 0, InProcess(Client(config, 0).handle), folder, Silent())
    return json.loads((folder / "facts.json").read_text())["fingerprint"]


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_clean_run_loses_nothing(tmp_path: Path):
    live(small_config(**SHORT), tmp_path)
    assert not (tmp_path / FOLDER).exists()
    assert lines(tmp_path / "lost.jsonl") == []
    assert len(Bank.open(tmp_path / "bank")) == 9


def test_an_attacker_waits_in_quarantine_and_a_kill_on_the_way_changes_nothing(tmp_path: Path):
    config = small_config(**SHORT, attackers=ATTACK, screening={"rounds": False})
    (attacker,) = Client(config, 0).siege.clients
    whole = live(config, tmp_path / "whole")

    (held,) = Quarantine(tmp_path / "whole" / FOLDER)
    assert held.record.client == attacker
    assert "norm of its change" in held.reason
    inside = {record.client for record in Bank.open(tmp_path / "whole" / "bank").records()}
    assert inside == set(range(9)) - {attacker}
    (lost,) = lines(tmp_path / "whole" / "lost.jsonl")
    assert (lost["phase"], lost["client"]) == ("finetune", attacker)
    assert "quarantine" in str(lost["reason"])

    for owner, method in ((Bank, "add"), (Quarantine, "hold"), (Asker, "refuse")):
        with killed_at(owner, method):
            live(config, tmp_path / "killed")
    assert live(config, tmp_path / "killed") == whole
    (held,) = Quarantine(tmp_path / "killed" / FOLDER)
    assert held.record.client == attacker
