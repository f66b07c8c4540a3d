"""Who stands out in a round does not count in it."""

import json
from pathlib import Path
from typing import ClassVar

import pytest

from fedlora import registry
from fedlora.client.client import Client
from fedlora.errors import FedloraError
from fedlora.runtime.inprocess import InProcess
from fedlora.server.asking import Asker
from fedlora.server.federation import federate
from fedlora.server.observer import Silent
from fedlora.wire.message import decode
from tests.conftest import killed_at, merged, small_config
from tests.server.test_admitting import ATTACK, SHORT, lines


def test_an_attacker_is_lost_in_its_round_and_a_kill_changes_nothing(tmp_path: Path):
    changes = merged(SHORT, {"attackers": ATTACK})
    config = small_config(**changes)
    (attacker,) = Client(config, 0).siege.clients

    def live(folder: Path) -> dict[str, str]:
        federate(config, 0, InProcess(Client(config, 0).handle), folder, Silent())
        return json.loads((folder / "facts.json").read_text())["fingerprint"]

    with killed_at(Asker, "refuse"):
        live(tmp_path / "killed")
    resumed = live(tmp_path / "killed")

    assert live(tmp_path / "whole") == resumed
    lost = [(x["phase"], x["client"]) for x in lines(tmp_path / "whole" / "lost.jsonl")]
    assert ("warm_start", attacker) in lost
    assert {client for _, client in lost} == {attacker}


def test_a_round_with_too_few_answers_for_its_rule_changes_nothing(tmp_path: Path):
    config = small_config(
        warm_start={"rounds": 2, "aggregation": {"name": "krum", "share": 0.2}},
        rounds={"retries": 0},
    )
    client = Client(config, 0)

    def handle(number: int, frame: bytes) -> bytes:
        asked = decode(frame, 1 << 30).meta
        if asked["action"] == "warm_up" and asked["round"] == 2 and number < 2:
            raise FedloraError("gone")
        return client.handle(number, frame)

    federate(config, 0, InProcess(handle), tmp_path, Silent())
    told = [x for x in lines(tmp_path / "metrics.jsonl") if x["phase"] == "warm_start"]
    assert [x["round"] for x in told if "too_few" in x] == [2]


@pytest.mark.parametrize("method", registry.names("aggregation"))
def test_no_method_has_honest_clients_kept_out(method: str, tmp_path: Path):
    rounds = {"rounds": 2, "aggregation": {"name": method}}
    config = small_config(**merged(SHORT, {"warm_start": rounds}))
    federate(config, 0, InProcess(Client(config, 0).handle), tmp_path, Silent())
    assert lines(tmp_path / "lost.jsonl") == []


def test_rounds_that_ask_too_few_to_compare_are_told(tmp_path: Path):
    class Noted(Silent):
        notes: ClassVar[list[str]] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    config = small_config(**merged(SHORT, {"warm_start": {"clients_per_round": 3}}))
    federate(config, 0, InProcess(Client(config, 0).handle), tmp_path, Noted())
    assert any("screening compares nobody in rounds that ask 3" in text for text in Noted.notes)
