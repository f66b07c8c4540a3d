"""A budget pays for one answer to each question of the plan, however often it is asked."""

import sys
from types import SimpleNamespace

import pytest

from fedlora import cache
from fedlora.bench.deploy.newcomers import newcomer_data
from fedlora.client.client import Client
from fedlora.client.newcomer import Newcomer
from fedlora.client.released import released
from fedlora.config import RunConfig, from_dict
from fedlora.errors import FedloraError
from fedlora.runtime.answering import start_client
from fedlora.wire.exchange import Request
from fedlora.wire.message import Message, decode, encode
from tests.conftest import small_config

PRIVATE = {"examples": {"epsilon": 8.0}, "task_vector": {"epsilon": 8.0}}


def in_deployment(**changes) -> RunConfig:
    return small_config(
        runtime={"name": "deployment"}, task_vector={"features": ["pooled"]}, **changes
    )


def asking(action: str, **meta) -> bytes:
    return encode(Message("train", {}, {"action": action, **meta}))


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """The folder of what clients have said."""
    own = SimpleNamespace(folder=lambda: tmp_path, forget_old=cache.forget_old)
    monkeypatch.setattr("fedlora.client.released.cache", own)
    return tmp_path / "released"


@pytest.fixture
def client(kept):
    return Client(in_deployment(privacy=PRIVATE), 0)


def test_noise_is_drawn_once_for_a_purpose(client):
    vector = client.handle(0, asking("describe"))
    assert client.handle(0, asking("describe", again=1, round=7)) == vector
    assert client.handle(1, asking("describe")) != vector

    first = client.handle(0, asking("warm_up", round=1))
    start = decode(first, 1 << 30).tensors["adapter.trained"]
    second = encode(Message("train", {"adapter.start": start}, {"action": "warm_up", "round": 1}))
    assert client.handle(0, second) == first
    assert client.handle(0, asking("warm_up", round=True)) == first
    assert client.handle(0, asking("warm_up", round=2)) != first

    many = [Request(2, asking("finetune")), Request(2, asking("finetune", round=1))]
    one, other = client.handle_many(many)
    assert one.frame == other.frame is not None
    assert client.handle(2, asking("finetune")) == one.frame


def test_what_was_said_stays_said_in_another_process(client, kept):
    vector = client.handle(0, asking("describe"))
    anew = Client(client.config, 0)
    assert anew.handle(0, asking("describe")) == vector
    assert Client(client.config, 1).handle(0, asking("describe")) != vector
    assert len(list(kept.glob("*/*"))) == 2


def test_of_two_processes_that_answer_at_once_one_is_heard(client):
    purpose = client.released.purpose(0, "describe", Message("train", {}, {}))
    assert client.released.keep(purpose, b"first") == b"first"
    assert client.released.keep(purpose, b"second") == b"first"
    assert list(purpose.parent.iterdir()) == [purpose]


def test_what_cannot_be_kept_is_not_said(client, kept):
    kept.write_text("no folder")
    with pytest.raises(FedloraError, match="cannot write"):
        client.handle(0, asking("describe"))


def test_without_a_budget_clients_answer_what_they_are_asked(kept):
    plain = Client(in_deployment(), 0)
    one, other = (plain.handle(0, asking("warm_up", round=r)) for r in (1, 2))
    assert one != other
    simulated = Client(small_config(privacy={"examples": {}}), 0)
    simulated.handle(0, asking("warm_up", round=1))
    assert not kept.exists()


@pytest.mark.parametrize(("action", "round"), [
    ("warm_up", 3), ("warm_up", 0), ("warm_up", -1), ("warm_up", 10**9), ("grow", 1),
])  # fmt: skip
def test_rounds_that_the_run_has_not_are_refused(client, action, round):
    with pytest.raises(
        FedloraError, match=r"asks for round .*but the run has [20] of them"
    ) as told:
        client.handle(0, asking(action, round=round))
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 120


def test_a_client_whose_model_or_data_was_moved_says_what_it_said():
    def folder(path: str, **changes) -> object:
        source = {"name": "files", "path": path, "label": "class"}
        tasks = {"name": "class_subsets", "source": source, "classes_per_task": 2}
        config = in_deployment(privacy=PRIVATE).model_dump(mode="json")
        said = {"backbone": {**config["backbone"], "name": path}, "tasks": tasks, **changes}
        return released(from_dict(config | said, "test"), 0).folder

    assert folder("/a") == folder("/b")
    assert folder("/a") != folder("/a", name="another")


def test_seeds_that_the_run_has_not_are_refused():
    text = in_deployment(privacy=PRIVATE).model_dump_json()
    assert start_client(text, 0).seed == 0
    with pytest.raises(FedloraError, match="asks for seed 1, which its configuration has not"):
        start_client(text, 1)


def test_a_newcomer_describes_its_examples_once(tmp_path):
    config = in_deployment(privacy=PRIVATE)
    data = newcomer_data(tmp_path / "mine")
    newcomer = Newcomer(config, 0, tmp_path / "out", data)
    first = newcomer.handle(0, asking("describe"))
    assert newcomer.handle(0, asking("describe", again=1)) == first
    started_anew = Newcomer(config, 0, tmp_path / "out", data)
    assert started_anew.handle(0, asking("describe")) == first
    rows = started_anew._task.describing
    rows["pixel_values"][0] = 0.5
    assert started_anew.handle(0, asking("describe")) != first


def test_whether_noise_follows_from_a_seed_is_not_for_the_server_to_say(monkeypatch):
    lenient = small_config(task_vector={"features": ["pooled"]}, privacy=PRIVATE)
    text = lenient.model_dump_json()
    start_client.cache_clear()
    assert start_client(text, 0).config.runtime.name == "deployment"
    start_client.cache_clear()
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))
    assert start_client(text, 0).config.runtime.name == "inprocess"
    start_client.cache_clear()


def test_a_server_cannot_have_real_clients_attack():
    attacked = small_config(attackers={"share": 0.5, "attack": {"name": "sign_flip"}})
    start_client.cache_clear()
    with pytest.raises(FedloraError, match="attackers: for simulations"):
        start_client(attacked.model_dump_json(), 0)
