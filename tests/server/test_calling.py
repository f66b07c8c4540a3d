"""Who takes part, where only the clients' data tells."""

import json
from pathlib import Path

import pytest

from fedlora.client.client import Client
from fedlora.config import RoundsConfig, RunConfig
from fedlora.errors import FedloraError
from fedlora.roster import seats
from fedlora.runtime.inprocess import InProcess
from fedlora.server.asking import Asker
from fedlora.server.calling import call_roll
from fedlora.server.federation import federate
from fedlora.server.journal import Journal
from fedlora.server.observer import Silent
from fedlora.tasks.contract import TaskNames
from fedlora.tasks.sources.fashion_mnist import FashionMnist
from fedlora.wire.message import Message, encode
from tests.conftest import small_config


@pytest.fixture(scope="module")
def config() -> RunConfig:
    sizes = {"train": 24, "validation": 10, "test": 20}
    family = {"name": "class_subsets", "bank": 3, "held_out": 1, "splits": sizes}
    return small_config(
        tasks=family,
        shards={"per_task": 2, "min_examples": 4},
        warm_start={"rounds": 0},
        finetune={"epochs": 1, "checkpoints": 1},
    )


def test_the_server_reads_no_data_and_seats_whom_the_clients_would(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    client = Client(config, 0)
    expected = client.seats
    monkeypatch.setattr(FashionMnist, "load", lambda _: pytest.fail("the server read data"))

    federate(config, 0, InProcess(client.handle), tmp_path, Silent())

    facts = json.loads((tmp_path / "facts.json").read_text())
    assert (facts["bank_clients"], facts["newcomers"]) == (6, 1)
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert {row["task"] for row in rows} == {expected[-1].task}


def told(config: RunConfig, folder: Path, **said: object) -> list[object]:
    journal = Journal(folder / "journal.sqlite")
    answer = InProcess(lambda client, frame: encode(Message("control", {}, said)))
    try:
        return list(call_roll(config, Asker(answer, journal, RoundsConfig(), Silent(), 1 << 20)))
    finally:
        journal.close()


def test_names_are_taken_as_they_are_told(config: RunConfig, tmp_path: Path):
    found = told(config, tmp_path, bank=["a", "b"], held_out=["c"])

    assert [(s.client, s.task, s.shard, s.role) for s in found] == [
        (0, "a", 0, "bank"), (1, "a", 1, "bank"), (2, "b", 0, "bank"), (3, "b", 1, "bank"),
        (4, "c", 0, "newcomer"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, "without a list of the tasks 'bank'"),
        ({"bank": [], "held_out": []}, "yields no task for the bank"),
        ({"bank": ["a"], "held_out": ["a"]}, "named twice"),
        ({"bank": [3], "held_out": []}, "not all names"),
        ({"bank": ["x" * 2000], "held_out": []}, "not all names"),
        ({"bank": ["a"], "held_out": "b"}, "without a list of the tasks 'held_out'"),
    ],
)
def test_a_roster_that_cannot_be_is_one_line(
    config: RunConfig, tmp_path: Path, said: dict[str, object], reason: str
):
    with pytest.raises(FedloraError, match=reason):
        told(config, tmp_path, **said)


def test_a_task_whose_name_is_too_long_is_told_before_anybody_is_asked():
    names = TaskNames(bank=("a", "product=" + "x" * 3000), held_out=())

    with pytest.raises(FedloraError, match=r"'product=x+\.\.\.' has 3,008 characters, .* 1000"):
        seats(small_config(), names)


def test_names_that_follow_from_the_configuration_are_not_asked_for(tmp_path: Path):
    config = small_config()
    assert told(config, tmp_path) == seats(config)
