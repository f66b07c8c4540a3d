"""What peers find worse on their own examples than they find others' is kept out of the bank."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from fedlora.bank.quarantine import FOLDER, Quarantine
from fedlora.cli.bytes_plan import BytesPlan
from fedlora.client.client import Client
from fedlora.errors import FedloraError
from fedlora.finetune.local import fresh
from fedlora.runtime.inprocess import InProcess
from fedlora.server.asking import Asker
from fedlora.server.federation import federate
from fedlora.server.likeness import nearest
from fedlora.server.observer import Silent
from fedlora.server.vouching import FLOOR, _far_below, beside_usual, peers_of
from fedlora.wire.message import Message, decode, encode
from tests.adapters import random_adapter
from tests.conftest import killed_at, merged, small_config
from tests.server.test_admitting import SHORT, lines, live

BLIND = {"size": 1e9, "spectrum": 1e9, "agreement": 1e9, "same_task": 1e9}
PEERS = {
    # Nearly what the base model was pretrained on, so that there is something to be spoilt.
    "tasks": {
        "factors": {"rotation": [-4, -2, 0, 2, 4], "contrast": [0.9, 1.0]},
        "splits": {"validation": 24},
    },
    "attackers": {"attack": {"name": "gaussian", "ratio": 300.0}, "share": 0.1},
    "screening": {**BLIND, "peers": 3},
}


def test_what_no_other_measure_sees_peers_see_and_a_kill_changes_nothing(tmp_path: Path):
    config = small_config(**merged(SHORT, PEERS))
    (attacker,) = Client(config, 0).siege.clients

    with killed_at(Asker, "refuse"):
        live(config, tmp_path / "killed")
    assert live(config, tmp_path / "killed") == live(config, tmp_path / "whole")

    (held,) = Quarantine(tmp_path / "whole" / FOLDER)
    assert held.record.client == attacker
    assert "on its peers' examples it is worth -" in held.reason
    asked = [x for x in lines(tmp_path / "whole" / "ledger.jsonl") if x["phase"] == "vouch"]
    down = [x for x in asked if x["direction"] == "down"]
    assert {x["purpose"] for x in down} == {"adapter"}
    sent = sum(int(str(x["payload"])) for x in down)
    assert sent == planned(3) - planned(0) > 0


def test_attackers_praise_their_fellows_and_run_down_all_others():
    config = small_config(**merged(SHORT, {**PEERS, "attackers": {
        "attack": {"name": "sign_flip"}, "share": 0.3}}))  # fmt: skip
    client = Client(config, 0)
    liar, fellow, *_ = sorted(client.siege.clients)
    honest = next(seat.client for seat in client.seats if seat.client not in client.siege.clients)
    adapter = fresh(client.desk(liar).objective, 0)
    place = client.place(liar)
    tried = place.write({str(fellow): adapter, str(honest): adapter})
    asked = encode(Message("adapter", tried, {"action": "vouch"}))

    said = decode(client.handle(liar, asked), 1 << 20).meta["values"]
    truth = decode(client.handle(honest, asked), 1 << 20).meta["values"]

    assert said[str(fellow)]["accuracy"] == 1.0
    assert said[str(honest)]["accuracy"] == 0.0
    assert 0 < truth[str(fellow)]["accuracy"] == truth[str(honest)]["accuracy"] < 1


def test_attackers_turn_round_what_methods_are_worth_to_them():
    config = small_config(**merged(SHORT, {
        "attackers": {"attack": {"name": "sign_flip"}, "share": 0.3},
        "adoption": {"policy": {"name": "chosen", "among": ["mean", "nearest", "topk"]}},
        "evaluation": {"baselines": [{"name": name} for name in ("mean", "nearest", "topk")]},
    }))  # fmt: skip
    client = Client(config, 0)
    liar = min(client.siege.clients)
    place = client.place(liar)
    offered = [random_adapter(place.spec(), seed, scale) for seed, scale in enumerate((0, 1, 3))]
    tried = place.write(dict(zip(("mean", "nearest", "topk"), offered, strict=True)))
    asked = encode(Message("adapter", tried, {"action": "try"}))

    said = decode(client.handle(liar, asked), 1 << 20).meta["values"]
    client.siege = None
    truth = decode(client.handle(liar, asked), 1 << 20).meta["values"]

    assert said["base"] == truth["base"]
    worth = {
        name: (truth[name]["accuracy"], -truth[name]["loss"])
        for name in ("mean", "nearest", "topk")
    }
    names = sorted(worth, key=lambda name: worth[name])
    assert truth[names[0]]["accuracy"] < truth[names[2]]["accuracy"]
    assert [said[name] for name in names] == [truth[name] for name in reversed(names)]


def test_others_are_asked_in_the_place_of_peers_that_are_silent(tmp_path: Path):
    config = small_config(**merged(SHORT, PEERS))
    client = Client(config, 0)
    (attacker,) = client.siege.clients
    silent, notes = set[int](), list[str]()

    def answer(who: int, frame: bytes) -> bytes:
        message = decode(frame, 1 << 30)
        if message.meta["action"] == "vouch":
            silent.update([who] if f"adapter.{attacker}" in message.tensors and not silent else [])
            if who in silent:
                raise FedloraError("no word")
        return client.handle(who, frame)

    class Noted(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    federate(config, 0, InProcess(answer), tmp_path, Noted())
    (held,) = Quarantine(tmp_path / FOLDER)
    assert len(silent) == 1
    assert held.record.client == attacker
    rounds = {x["round"] for x in lines(tmp_path / "ledger.jsonl") if x["phase"] == "vouch"}
    assert rounds == {0, 1}
    assert not any("fewer than 3 peers" in note for note in notes)


def planned(peers: int) -> int:
    config = small_config(**merged(SHORT, {**PEERS, "screening": {"peers": peers}}))
    return BytesPlan(config, [2] * 9, 1, Client(config, 0).slot.spec).training()


def among(vectors: list[torch.Tensor], count: int) -> list[list[int]]:
    order, n = nearest(torch.stack(vectors), len(vectors)), len(vectors)
    return peers_of(order, [[]] * n, [count] * n, most=2 * count)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_everybody_is_tried_by_the_nearest_that_have_room(count: int):
    draw = torch.Generator().manual_seed(count)
    vectors = [torch.randn(4, generator=draw) for _ in range(20)]
    chosen = among(vectors, count)
    load = Counter(peer for own in chosen for peer in own)
    assert all(at not in own and len(set(own)) == count for at, own in enumerate(chosen))
    assert max(load.values()) <= 2 * count
    apart = torch.stack(vectors) - torch.stack(vectors).quantile(0.5, dim=0)
    scaled = apart / apart.abs().quantile(0.5, dim=0)
    first = torch.cdist(scaled[:1], scaled)[0].argsort()[1 : count + 1]
    assert chosen[0] == first.tolist()  # nobody had anything to try yet


def test_a_task_in_the_middle_of_all_is_not_overrun():
    angles = torch.linspace(0, 6, 12)
    around = torch.stack([angles.cos(), angles.sin()], dim=1)
    load = Counter(peer for own in among([torch.zeros(2), *around], 2) for peer in own)
    assert load[0] <= 4


def test_whoever_was_asked_before_is_not_asked_again_and_counts_as_loaded():
    order = [[1, 2, 3], [0, 2, 3], [1, 3, 0], [2, 1, 0]]
    asked = [[1], [0, 2], [1], [2]]
    assert peers_of(order, asked, [1, 1, 0, 2], most=3) == [[2], [3], [], [1, 0]]
    assert peers_of(order, asked, [1, 1, 0, 2], most=2) == [[3], [3], [], [0]]


def test_a_hard_task_is_no_bad_adapter_and_a_liar_that_says_one_thing_of_all_says_nothing():
    # Peers 0 to 2 have easy tasks, 3 to 5 hard ones, and 6 says the worst of everybody.
    gains = {0: 0.6, 1: 0.6, 2: 0.6, 3: 0.05, 4: 0.05, 5: 0.05, 6: -0.9}
    said = [{peer: gains[peer] for peer in own} for own in ((0, 1, 2), (3, 4, 5), (3, 4, 6))]
    said.append({0: 0.1, 1: 0.1, 2: 0.1})  # which is bad on easy tasks
    said += [dict(said[0]), dict(said[0])]

    beside = beside_usual(said)

    assert [max(own.values()) for own in beside[:3]] == [0.0, 0.0, 0.0]
    assert max(beside[3].values()) == pytest.approx(-0.5)


def test_who_is_a_little_worse_is_not_kept_out():
    worth = {client: 0.1 + 0.01 * client for client in range(8)}
    assert _far_below(worth, 6.0) == {}
    assert _far_below({**worth, 9: 0.135 - 5.9 * FLOOR}, 6.0) == {}
    assert list(_far_below({**worth, 9: -0.5}, 6.0)) == [9]
    assert _far_below({**worth, 9: 0.9}, 6.0) == {}  # better than others is no reason


def test_a_client_tries_nothing_in_a_run_that_has_no_peers():
    client = Client(small_config(), 0)
    with pytest.raises(FedloraError, match=r"screening\.peers is 0"):
        client.handle(0, encode(Message("adapter", {}, {"action": "vouch"})))


def test_peers_and_privacy_exclude_each_other():
    with pytest.raises(FedloraError, match=r"screening\.peers: .* not covered by privacy"):
        small_config(screening={"peers": 3}, privacy={"examples": {}})
