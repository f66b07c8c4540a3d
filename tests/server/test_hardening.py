"""With `learning.trim` the generators learn without the worst samples, also after a kill."""

from pathlib import Path

import pytest

from fedlora.bank import Bank
from fedlora.client.client import Client
from fedlora.errors import FedloraError
from fedlora.server import federation
from tests.conftest import killed_at, merged, small_config
from tests.server.test_admitting import ATTACK, SHORT, lines, live

TRIMMED = {
    "attackers": ATTACK,
    "screening": {"enabled": False},
    "learning": {"trim": 0.12, "cap": 2.0},
}


def test_an_attacker_stays_in_the_bank_and_teaches_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = small_config(**merged(SHORT, TRIMMED))
    (attacker,) = Client(config, 0).siege.clients

    with killed_at(federation, "learn"):
        live(config, tmp_path / "killed")
    resumed = live(config, tmp_path / "killed")

    taught: list[set[int]] = []
    learn = federation.learn
    monkeypatch.setattr(
        federation, "learn", lambda c, b: (taught.append({*b.clients}), learn(c, b))[1]
    )
    assert live(config, tmp_path / "whole") == resumed
    assert taught == [set(range(9)) - {attacker}]
    inside = {record.client for record in Bank.open(tmp_path / "whole" / "bank").records()}
    assert inside == set(range(9))
    (out,) = [x for x in lines(tmp_path / "whole" / "metrics.jsonl") if x["phase"] == "trimming"]
    assert out["client"] == attacker
    assert "foretold with a loss of" in str(out["reason"])


def test_more_than_half_cannot_be_left_out():
    with pytest.raises(FedloraError, match=r"learning\.trim"):
        small_config(learning={"trim": 0.5})
