"""Requests answered together are answered as one at a time."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedlora.bank import Bank
from fedlora.client.client import Client
from fedlora.client.desk import Desk
from fedlora.config import RunConfig
from fedlora.finetune.lower_blocks import BELOW
from fedlora.finetune.remembered import Remembered
from fedlora.runtime.inprocess import InPacks
from fedlora.server.federation import federate
from fedlora.server.observer import Silent
from fedlora.wire.exchange import Reply, Request
from fedlora.wire.message import Message, decode, encode
from tests.conftest import small_config
from tests.finetune.many import groups_of

TOGETHER = {"training": "batched", "group": 4}


def request(client: int, action: str, **meta: object) -> Request:
    return Request(client, encode(Message("control", {}, {"action": action, **meta})))


def read(reply: Reply) -> Message:
    assert reply.frame is not None, reply.error
    return decode(reply.frame, 1 << 24)


@pytest.mark.parametrize("training", ["sequential", "batched", "auto"])
def test_answers_are_those_of_one_message_at_a_time(
    training: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path))
    monkeypatch.setattr(Remembered, "find", lambda *_: 4)  # or `auto` would begin one by one
    groups = groups_of(monkeypatch)
    changes = {"finetune": {"repeats": 2, "patience": 1, "epochs": 3}}
    alone = Client(small_config(**changes), 0)
    client = Client(small_config(**changes, runtime={"training": training, "group": 4}), 0)
    asked = [request(k, "finetune") for k in range(6)]
    asked += [request(1, "warm_up", round=1), request(2, "describe"), request(6, "evaluate")]
    replies = client.handle_many(asked)
    assert [reply.client for reply in replies] == [each.client for each in asked]
    assert (max(groups, default=1) == 4) == (training != "sequential")
    for each, reply in zip(asked, replies, strict=True):
        mine, other = read(reply), decode(alone.handle(each.client, each.frame), 1 << 24)
        assert set(mine.meta) == set(other.meta)
        assert mine.meta.get("curve", []) == pytest.approx(other.meta.get("curve", []), rel=1e-4)
        for name, values in other.tensors.items():
            assert torch.allclose(floats(mine.tensors[name]), floats(values), atol=1e-3)


def floats(values: torch.Tensor) -> torch.Tensor:
    return values.view(torch.float32) if values.dtype == torch.uint8 else values


def test_a_client_that_fails_costs_its_own_answer_only(monkeypatch: pytest.MonkeyPatch):
    client = Client(small_config(runtime=TOGETHER), 0)
    good = client.desk

    def desk(number: int) -> Desk:
        if number == 2:
            raise OSError("no such file")
        if number == 3:
            desk = good(3)
            return replace(desk, train=desk.train | {"labels": desk.train["labels"] + 100})
        return good(number)

    monkeypatch.setattr(client, "desk", desk)
    asked = [request(k, "finetune") for k in range(4)]
    asked += [request(99, "finetune"), request(0, "warm_up"), request(1, "dance")]
    replies = client.handle_many([*asked, Request(0, b"noise")])
    assert [bool(reply.frame) for reply in replies] == 2 * [True] + 6 * [False]
    assert "one by one, not at once" in str(read(replies[0]).meta["remark"])
    said = [reply.error for reply in replies[2:]]
    assert said[0] == "OSError: no such file"
    assert said[1].startswith("IndexError")
    assert said[2:5] == [
        "no client 99: the run has 8",
        "message lacks the number 'round'",
        "message asks for 'dance': not something a client does",
    ]


def test_a_federation_trained_at_once_fills_the_same_bank(config: RunConfig, tmp_path: Path):
    def bank(folder: str, settings: RunConfig) -> torch.Tensor:
        client = Client(settings, 0)
        transport = InPacks(client.handle_many, settings.runtime.together)
        federate(settings, 0, transport, tmp_path / folder, Silent())
        kept = Bank.open(tmp_path / folder / "bank")
        return torch.stack([kept.load(each.digest).flatten() for each in kept.records()])

    alone, together = bank("a", config), bank("b", small_config(runtime=TOGETHER))
    assert torch.linalg.vector_norm(together - alone) < 1e-3 * torch.linalg.vector_norm(alone)


def test_states_below_the_adapters_are_kept_within_the_budget():
    config = small_config(lora={"layers": [3]}, runtime={"activation_cache": 1})
    client, without = (
        Client(small_config(lora={"layers": [3]}, runtime={"activation_cache": size}), 0)
        for size in (1, 0)
    )
    asked = request(0, "finetune")
    cached, plain = (decode(x.handle(0, asked.frame), 1 << 24) for x in (client, without))
    assert cached.meta["curve"] == pytest.approx(plain.meta["curve"], rel=1e-5)
    assert 0 < client.states.store.in_memory <= config.runtime.activation_cache << 20
    assert without.states.store.in_memory == 0
    assert BELOW not in client.desk(0).train


def test_test_rows_are_kept_once_a_task_and_score_the_same():
    changed = {"lora": {"layers": [3]}, "warm_start": {"rounds": 2, "score": True}}
    client, without = (
        Client(small_config(**changed, runtime={"activation_cache": size}), 0) for size in (8, 0)
    )
    task = client.seats[0].task
    same = [seat.client for seat in client.seats if seat.task == task and seat.role == "bank"]
    for number in same:
        asked = request(number, "warm_up", round=1)
        kept, plain = (decode(x.handle(number, asked.frame), 1 << 24) for x in (client, without))
        assert kept.meta["value"] == pytest.approx(plain.meta["value"], rel=1e-5)
    assert client.states.store.find(("test", task)) is not None
    (judged,) = {digest for digest, _ in client.scores.values()}
    assert client.scores == {task: (judged, kept.meta["value"])}
    assert BELOW not in client.desk(0).test


@pytest.mark.parametrize(("layers", "said"), [(None, False), ([3], True)])
def test_a_cache_that_cannot_work_is_remarked_on_where_it_could_have(layers: object, said: bool):
    client = Client(small_config(lora={"layers": layers}), 0)
    block = client.slot.base.model.vit.layers[0].train()
    try:
        answer = decode(client.handle(0, request(0, "finetune").frame), 1 << 24)
    finally:
        block.eval()
    assert ("training mode" in str(answer.meta.get("remark"))) == said
