"""The whole story on real data: what it leaves, what it survives, and that it repeats."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from fedlora.bank import Bank
from fedlora.client.client import Client
from fedlora.config import RunConfig, dump
from fedlora.errors import FedloraError
from fedlora.runtime.inprocess import InProcess
from fedlora.server.federation import federate
from fedlora.server.observer import Silent
from fedlora.wire.exchange import Reply, Request
from fedlora.wire.message import Message, decode, encode
from tests.conftest import small_config


def live(config: RunConfig, folder: Path, transport: object = None) -> dict[str, object]:
    federate(config, 0, transport or in_process(config), folder, Silent())
    return json.loads((folder / "facts.json").read_text())["fingerprint"]


def in_process(config: RunConfig) -> InProcess:
    return InProcess(Client(config, 0).handle)


class Backwards(InProcess):
    """Answers in the opposite order."""

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        yield from reversed(list(super().exchange(requests)))


class Tampered(InProcess):
    """One client's answers to one action pass through a hand."""

    def __init__(self, config: RunConfig, client: int, action: str, hand: object) -> None:
        super().__init__(Client(config, 0).handle)
        self.client, self.action, self.hand = client, action, hand

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        actions = {r.client: decode(r.frame, 1 << 30).meta["action"] for r in requests}
        for reply in super().exchange(requests):
            if reply.client == self.client and actions[reply.client] == self.action:
                yield self.hand(reply)
            else:
                yield reply


def edit(change: object) -> object:
    """A hand that changes the message in a frame."""

    def hand(reply: Reply) -> Reply:
        message = decode(reply.frame, 1 << 30)
        return Reply(reply.client, encode(change(message)))

    return hand


def with_tensors(message: Message, **tensors: torch.Tensor) -> Message:
    return Message(message.purpose, {**message.tensors, **tensors}, message.meta)


def nan_bytes(message: Message) -> Message:
    name = next(iter(message.tensors))
    values = torch.full((message.tensors[name].numel() // 4,), float("nan"))
    return with_tensors(message, **{name: values.view(torch.uint8)})


FAULTS = {
    "raises": lambda reply: Reply(reply.client, None, "ValueError: no such file"),
    "says nothing": lambda reply: Reply(reply.client, None),
    "garbage": lambda reply: Reply(reply.client, b"\x00" * 100),
    "nan": edit(nan_bytes),
    "short": edit(lambda m: with_tensors(m, **{k: v[:-4] for k, v in m.tensors.items()})),
    "missing": edit(lambda m: Message(m.purpose, {}, m.meta)),
    "other task": edit(lambda m: Message(m.purpose, m.tensors, {**m.meta, "task": "another"})),
}


def test_a_run_leaves_what_a_user_needs(config: RunConfig, tmp_path: Path):
    live(config, tmp_path)

    table = json.loads((tmp_path / "table.json").read_text())
    methods = {row["method"] for row in table["rows"]}
    assert methods == {
        "base", "warm", "mean", "topk", "generated", "shuffled", "few_labels", "local",
        "zero_one_epoch", "warm_one_epoch", "generated_one_epoch",
    }  # fmt: skip
    assert len(Bank.open(tmp_path / "bank")) == 6 * 2
    assert len(list((tmp_path / "adapters").iterdir())) == 6 * 2 + 2
    ledger = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    adopted = [x for x in ledger if x["phase"] == "adopt" and x["direction"] == "down"]
    assert [x["payload"] for x in adopted] == [4 * 2 * (128 + 128) * 8] * 2
    assert all(x["serialised"] > x["payload"] for x in adopted)


def test_too_few_clients_to_be_compared_are_told_so(tmp_path: Path):
    class Listening(Silent):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    for least, told in ((6, []), (8, ["screening compares nobody: 6 clients fill the bank"])):
        config, heard = small_config(screening={"least": least}), Listening()
        federate(config, 0, in_process(config), tmp_path / str(least), heard)
        said = [note for note in heard.notes if "screening" in note]
        assert [note.partition(",")[0] for note in said] == told


@pytest.mark.parametrize("attack", ["backdoor", "sign_flip"])
def test_the_table_tells_how_often_a_backdoor_has_its_way(tmp_path: Path, attack: str):
    config = small_config(attackers={"attack": {"name": attack}, "share": 0.2})
    federate(config, 0, in_process(config), tmp_path, Silent())
    table = json.loads((tmp_path / "table.json").read_text())
    if attack == "backdoor":
        assert {"generated", "warm"} <= set(table["fooled"])
        assert all(0 <= rate <= 1 for rate in table["fooled"].values())
    else:
        assert "fooled" not in table


def test_the_order_of_answers_changes_nothing(config: RunConfig, tmp_path: Path):
    forwards = live(config, tmp_path / "a")
    backwards = live(config, tmp_path / "b", Backwards(Client(config, 0).handle))
    assert forwards == backwards


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_client_costs_its_own_contribution_only(
    fault: str, config: RunConfig, tmp_path: Path
):
    live(config, tmp_path, Tampered(config, 3, "finetune", FAULTS[fault]))

    lost = [json.loads(line) for line in (tmp_path / "lost.jsonl").read_text().splitlines()]
    assert [(x["phase"], x["client"]) for x in lost] == [("finetune", 3)]
    assert lost[0]["reason"]
    clients = {record.client for record in Bank.open(tmp_path / "bank").records()}
    assert clients == {0, 1, 2, 4, 5}


HOSTILE = {
    "examples": ("warm_up", edit(lambda m: with_meta(m, examples=-1))),
    "many examples": ("warm_up", edit(lambda m: with_meta(m, examples=1e300))),
    "scores": ("finetune", edit(lambda m: with_meta(m, samples=[]))),
    "metric": ("describe", edit(lambda m: with_meta(m, metric="nll"))),
    "vector": ("describe", edit(lambda m: with_tensors(m, vector=torch.ones(5)))),
    "dtype": ("describe", edit(lambda m: with_tensors(m, vector=torch.ones(5).long()))),
    "head": ("describe", edit(lambda m: with_meta(m, spec=wide_head(m.meta["spec"])))),
}


def with_meta(message: Message, **meta: object) -> Message:
    return Message(message.purpose, message.tensors, {**message.meta, **meta})


def wide_head(spec: object) -> str:
    return json.dumps({**json.loads(str(spec)), "head": [["classifier.weight", [10**6, 10**6]]]})


@pytest.mark.parametrize("lie", HOSTILE)
def test_what_one_client_says_of_itself_harms_no_other(lie: str, config: RunConfig, tmp_path: Path):
    action, hand = HOSTILE[lie]
    live(config, tmp_path, Tampered(config, 0, action, hand))

    lost = [json.loads(line) for line in (tmp_path / "lost.jsonl").read_text().splitlines()]
    assert {x["client"] for x in lost} == {0}
    assert {r.client for r in Bank.open(tmp_path / "bank").records()} >= {1, 2, 3, 4, 5}


def test_an_adapter_of_zeros_is_kept_like_any_other(config: RunConfig, tmp_path: Path):
    def nothing(message: Message) -> Message:
        tensors = {name: torch.zeros_like(value) for name, value in message.tensors.items()}
        return with_tensors(message, **tensors)

    live(config, tmp_path, Tampered(config, 0, "finetune", edit(nothing)))
    compared = json.loads((tmp_path / "reconstruction.json").read_text())
    assert len(compared) == 5
    assert all(line["norm_trained"] > 0 for line in compared)


def test_clients_of_different_ranks_reach_the_table(tmp_path: Path):
    config = small_config(
        lora={"rank": 4, "ranks": [1, 2, 4]},
        warm_start={"rounds": 1, "aggregation": {"name": "flexlora"}},
    )
    live(config, tmp_path)
    assert [record.rank for record in Bank.open(tmp_path / "bank").records()] == [4] * 12
    assert json.loads((tmp_path / "table.json").read_text())["rows"]


def test_a_generator_whose_files_have_changed_is_fitted_again(config: RunConfig, tmp_path: Path):
    first = live(config, tmp_path)
    model = tmp_path / "generator" / "model.safetensors"
    whole = model.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[: len(whole) // 2]):
        model.write_bytes(damaged)
        assert live(config, tmp_path) == first
        assert model.read_bytes() == whole


def test_a_bank_that_is_gone_is_not_gone_on_from(config: RunConfig, tmp_path: Path):
    first = live(config, tmp_path)
    shutil.rmtree(tmp_path / "bank")
    with pytest.raises(FedloraError, match=r"bank' is not what the clients filled: .* resume"):
        live(config, tmp_path)
    shutil.rmtree(tmp_path / "bank")  # the remedy
    shutil.rmtree(tmp_path / "checkpoints")
    assert live(config, tmp_path) == first


def test_a_score_that_cannot_be_is_refused(config: RunConfig, tmp_path: Path):
    def boast(message: Message) -> Message:
        values = {**message.meta["values"], "generated": {"accuracy": 50.0}}
        return with_meta(message, values=values)

    live(config, tmp_path, Tampered(config, 6, "evaluate", edit(boast)))
    table = json.loads((tmp_path / "table.json").read_text())
    assert {row["client"] for row in table["rows"]} == {7}


def test_a_round_that_failed_is_asked_again(config: RunConfig, tmp_path: Path):
    whole = live(config, tmp_path / "whole")
    strict = small_config(rounds={"min_answers": 1.0})
    with pytest.raises(FedloraError, match=r"finetune: 5 of 6 clients answered"):
        live(strict, tmp_path / "failed", Tampered(strict, 3, "finetune", FAULTS["raises"]))
    assert (tmp_path / "failed" / "ledger.jsonl").stat().st_size > 0
    assert live(strict, tmp_path / "failed") == whole


def test_what_newcomers_give_back_is_kept_but_not_learned_from(tmp_path: Path):
    topk = {"name": "given", "method": "topk"}
    config = small_config(
        adoption={"policy": topk, "refine": "always", "refine_epochs": 1, "contribute": True}
    )
    first = live(config, tmp_path)
    records = Bank.open(tmp_path / "bank").records()
    assert {r.client for r in records if r.round == 1} == {6, 7}
    table = json.loads((tmp_path / "table.json").read_text())
    assert "topk_refined" in {row["method"] for row in table["rows"]}
    (tmp_path / "facts.json").unlink()  # as if killed just before the end
    assert live(config, tmp_path) == first


def test_a_run_without_newcomers_ends_with_an_empty_table(tmp_path: Path):
    config = small_config(
        tasks={"name": "several", "tasks": {f"t{i}": {"name": "fashion_mnist"} for i in range(3)},
               "bank": None, "held_out": None},
    )  # fmt: skip
    live(config, tmp_path)
    assert json.loads((tmp_path / "table.json").read_text())["rows"] == []


STORY = """
import sys
from pathlib import Path
from fedlora.config import load
from fedlora.runtime import inprocess
from fedlora.server.federation import federate
from fedlora.server.observer import Silent

config, folder = load(Path(sys.argv[1])), Path(sys.argv[2])
inprocess.serve(config, 0, lambda transport: federate(config, 0, transport, folder, Silent()))
"""


def test_a_killed_run_ends_as_if_it_had_not_been(config: RunConfig, tmp_path: Path):
    whole = live(config, tmp_path / "whole")
    file = tmp_path / "config.yaml"
    file.write_text(dump(config))
    command = [sys.executable, "-c", STORY, str(file), str(tmp_path / "killed")]
    journal = tmp_path / "killed" / "checkpoints" / "journal.sqlite"
    marks = [journal, tmp_path / "killed" / "bank", tmp_path / "killed" / "generator"]
    for mark in marks:
        child = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path.cwd())})
        while not mark.exists() and child.poll() is None:
            time.sleep(0.01)
        time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert live(config, tmp_path / "killed") == whole


def test_every_way_to_adopt_that_is_tried_has_a_row_for_every_newcomer(tmp_path: Path):
    ways = [
        {"policy": {"name": "label_mix", "candidates": 3}, "labels": 16},
        {"policy": {"name": "best_of", "samples": 2}, "labels": 16},
        {"policy": {"name": "given"}, "refine": "gated", "labels": 16, "refine_epochs": 2},
        {"policy": {"name": "given", "method": "topk"}, "refine": "always", "refine_epochs": 1},
    ]
    config = small_config(
        evaluation={"adoptions": ways},
        generator={"name": "cvae", "spread": 1.0, "training": {"epochs": 20}},
    )
    first = live(config, tmp_path / "once")
    table = json.loads((tmp_path / "once" / "table.json").read_text())
    clients = {row["client"] for row in table["rows"]}
    for way in ("label_mix", "best_of_2", "generated_gated", "topk_refined"):
        assert {row["client"] for row in table["rows"] if row["method"] == way} == clients
    lines = [json.loads(x) for x in (tmp_path / "once" / "ledger.jsonl").read_text().splitlines()]
    down = [x for x in lines if x["phase"] == "adopt" and x["direction"] == "down"]
    sizes = {number: {x["payload"] for x in down if x["round"] == number} for number in range(5)}
    [one] = sizes[0]
    assert [sizes[number] for number in (1, 2, 3, 4)] == [{4 * one}, {2 * one}, {one}, {one}]
    assert {x["purpose"] for x in down if x["round"]} == {"evaluation"}
    assert live(config, tmp_path / "twice") == first
