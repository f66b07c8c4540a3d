"""Rounds in which no client can be told: what they spend, and that they repeat in simulations."""

import json
from pathlib import Path

import pytest

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import State
from fedlora.client.client import Client
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.runtime.inprocess import InProcess
from fedlora.server.federation import federate
from fedlora.server.observer import Silent
from fedlora.server.shielding import Shield
from tests.adapters import random_adapter
from tests.conftest import merged, small_config
from tests.server.test_admitting import SHORT, lines

PRIVATE = {
    "warm_start": {"rounds": 2, "weights": "equal", "aggregation": {"name": "ffa"}},
    "privacy": {"clients": {"epsilon": 4.0, "clip": 0.5}},
    "screening": {"rounds": False},
}


def private(**changes: object) -> RunConfig:
    return small_config(**merged(merged(SHORT, PRIVATE), changes))


def live(
    config: RunConfig, folder: Path, lost: int | None = None, when: bytes = b"warm_up"
) -> dict[str, str]:
    client = Client(config, 0)

    def handle(asked: int, frame: bytes) -> bytes:
        if asked == lost and when in frame:
            raise FedloraError("away")
        return client.handle(asked, frame)

    federate(config, 0, InProcess(handle), folder, Silent())
    return json.loads((folder / "facts.json").read_text())["fingerprint"]


def test_rounds_spend_the_budget_step_by_step_whoever_is_lost_and_repeat(tmp_path: Path):
    config = private()
    first = live(config, tmp_path / "first", lost=3)
    assert live(config, tmp_path / "again", lost=3) == first
    lost = [(x["phase"], x["client"]) for x in lines(tmp_path / "first" / "lost.jsonl")]
    assert lost == [("warm_start", 3)] * 2
    rounds = [x for x in lines(tmp_path / "first" / "metrics.jsonl") if x.get("group") == "all"]
    spent = [float(str(line["epsilon"])) for line in rounds]
    assert 0 < spent[0] < spent[1] <= 4.0
    assert spent[1] == pytest.approx(4.0, rel=0.02)
    assert all(0 <= line["clipped"] <= 8 for line in rounds)


def test_who_never_came_is_counted_and_changes_nobody_elses_turn(tmp_path: Path):
    """Or the divisor, and who is drawn for a round, would tell that it is not there."""
    config = private(warm_start={"clients_per_round": 4})
    live(config, tmp_path / "all")
    live(config, tmp_path / "one away", lost=3, when=b"describe")

    def asked(folder: str) -> list[tuple[object, object]]:
        ledger = lines(tmp_path / folder / "ledger.jsonl")
        sent = [x for x in ledger if x["phase"] == "warm_start" and x["direction"] == "down"]
        return sorted((x["round"], x["client"]) for x in sent)

    assert asked("one away") == asked("all")
    assert len(asked("all")) == 2 * 4


def test_a_group_that_is_silent_is_as_noisy_as_any():
    config = private()
    shield, before = Shield.of(config, 0), State(0, start(config))
    silent = shield.aggregate(before, config.warm_start.aggregation.build(), "all", [], 9)
    assert silent.common.digest() != before.common.digest()


def test_in_a_deployment_nobody_can_draw_the_noise_again():
    def drawn(runtime: str) -> str:
        config = private(runtime={"name": runtime})
        shield, method = Shield.of(config, 0), config.warm_start.aggregation.build()
        return shield.aggregate(State(0, start(config)), method, "all", [], 9).common.digest()

    assert drawn("inprocess") == drawn("inprocess")
    assert drawn("deployment") != drawn("deployment")


def test_two_seeds_share_the_budget():
    assert Shield.of(private(seeds=[0, 1]), 0).noise > 1.2 * Shield.of(private(), 0).noise
    assert Shield.of(private(privacy=None), 0) is None


@pytest.mark.parametrize(("changes", "said"), [
    ({"warm_start": {"aggregation": {"name": "fedavg"}}}, "'fedavg' trains down"),
    ({"warm_start": {"aggregation": {"name": "rolora"}}}, "'rolora' trains down"),
    ({"warm_start": {"weights": "examples"}}, r"set warm_start\.weights=equal"),
    ({"warm_start": {"rounds": 0}}, r"set warm_start\.rounds of at least 1"),
    ({"screening": {"rounds": True}}, r"set screening\.rounds=false"),
    ({"growth": {"rounds": 1}}, r"does not cover growth"),
    ({"privacy": {"clients": {"epsilon": 1e-6}}}, r"privacy\.clients\.epsilon=1e-06: too little"),
])  # fmt: skip
def test_what_the_noise_does_not_cover_is_refused(changes, said):
    with pytest.raises(FedloraError, match=said):
        _ = Shield.of(private(**changes), 0).noise


def start(config: RunConfig) -> LoraAdapter:
    return random_adapter(Client(config, 0).slot.spec)
