"""A newcomer and a standing server, face to face: what Flower carries between them otherwise."""

import pytest
import torch
from PIL import Image

from fedlora import run_folder
from fedlora.adapter import peft_folder
from fedlora.bench.deploy.newcomers import newcomer_data
from fedlora.client.newcomer import Newcomer
from fedlora.errors import FedloraError
from fedlora.runtime import run as running
from fedlora.server.observer import Silent
from fedlora.server.standing import Standing
from fedlora.wire.message import Message, decode, encode
from tests.runtime.tiny_run import tiny_run


@pytest.fixture(scope="module")
def met(tmp_path_factory):
    """A finished run's standing server, a newcomer, and the folder that it is to leave with."""
    folder, config = tmp_path_factory.mktemp("standing"), tiny_run()
    run = run_folder.create(config, folder / "runs")
    running.run(config, run, Silent())
    data = newcomer_data(folder / "mine")
    return Standing(config, run, 0), Newcomer(config, 0, folder / "out", data), folder / "out"


def test_a_newcomer_sends_its_vector_and_leaves_with_the_generators_adapter(met):
    standing, newcomer, out = met

    described = newcomer.handle(0, standing.greeting())
    sent = decode(described, 1 << 24)
    assert set(sent.tensors) == {"vector"}
    assert set(sent.meta) == {"metric", "spec", "labels"}  # nothing that tells what task it is
    worth = standing.worth(newcomer.handle(0, standing.offer(described)))

    assert set(worth) == {"base", "generated"}
    adapter = peft_folder.load(out, newcomer.base)
    (made,) = standing._service.generator.sample(sent.tensors["vector"][None], seed=0)
    assert torch.allclose(adapter.flatten(), made.flatten())
    told = [f"{worth[method]:.3f}" for method in ("generated", "base")]
    assert f"accuracy {told[0]}, {told[1]} without it" in (out / "README.md").read_text()


def test_data_with_nothing_to_judge_on_is_refused_before_anything_is_sent(tmp_path):
    for name, grey in (("dress", 10), ("bag", 200)):
        (tmp_path / "two" / name).mkdir(parents=True)
        Image.new("L", (28, 28), grey).save(tmp_path / "two" / name / "one.png")

    with pytest.raises(FedloraError, match="left to judge on; give it five or more"):
        Newcomer(tiny_run(), 0, tmp_path / "out", tmp_path / "two")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tensors": {}}, "lacks a task vector"),
        ({"tensors": {"vector": torch.zeros(2, 3)}}, "lacks a task vector"),
        ({"meta": {"spec": "{}"}}, "."),
    ],
)
def test_what_a_newcomer_says_is_checked_before_anything_is_made_of_it(met, change, words):
    standing, newcomer, _ = met
    good = decode(newcomer.handle(0, standing.greeting()), 1 << 24)
    parts = {"tensors": good.tensors, "meta": good.meta} | change

    with pytest.raises(FedloraError, match=words):
        standing.offer(encode(Message("task_vector", parts["tensors"], parts["meta"])))


def test_a_newcomer_does_what_a_newcomer_is_asked_and_nothing_else(met):
    _, newcomer, _ = met

    with pytest.raises(FedloraError, match="describes and takes"):
        newcomer.handle(0, encode(Message("control", {}, {"action": "finetune"})))


def test_a_run_that_has_learned_nothing_cannot_serve(tmp_path):
    with pytest.raises(FedloraError, match="has learned no generator"):
        Standing(tiny_run(), tmp_path, 0)
