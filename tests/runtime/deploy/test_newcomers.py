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


def test_a_newcomer_sends_its_vector_and_leaves_with_what_serves(met):
    standing, newcomer, out = met

    described = newcomer.handle(0, standing.greeting())
    sent = decode(described, 1 << 24)
    assert set(sent.tensors) == {"vector"}
    assert set(sent.meta) == {"metric", "spec", "labels"}  # nothing that tells what task it is
    worth = standing.worth(newcomer.handle(0, standing.offer(described)))

    assert set(worth) == {"base", "adopted"}
    adapter = peft_folder.load(out, newcomer.base)
    (generator,) = standing._offering.learned.values()
    (made,) = generator.sample(sent.tensors["vector"][None], seed=0)
    assert torch.allclose(adapter.flatten(), made.flatten())
    told = [f"{worth[method]:.3f}" for method in ("adopted", "base")]
    card = " ".join((out / "README.md").read_text().split())
    assert f"accuracy {told[0]}, {told[1]} without it" in card
    known = generator.reach(sent.tensors["vector"])
    assert f"The task lies {known.distance:.1f} times as far" in card
    assert ("expected a squared error" in card) == (known.error is not None)


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


def change(message, tensors=None, **meta):
    tensors = message.tensors if tensors is None else tensors
    return encode(Message(message.purpose, tensors, {**message.meta, **meta}))


def test_an_offer_that_is_not_the_runs_own_is_refused(met):
    standing, newcomer, _ = met
    sent = decode(standing.offer(newcomer.handle(0, standing.greeting())), 1 << 24)
    (values,) = sent.tensors.values()
    for bad, words in (
        (change(sent, {}, distances={}), "offer without an adapter"),
        (change(sent, {"chosen": values}), "lacks the adapter"),
        (change(sent, {"adapter.a": values, "adapter.b": values}), "offer of 2 adapters"),
        (change(sent, {"adapter.chosen": values[:-4]}), "."),
        (change(sent, distances=None), "lacks the distances"),
        (change(sent, distances={"another": 1.0}), "lacks the distances"),
        (change(sent, distances={"chosen": -1.0}), "lacks the distances"),
        (change(sent, distances={"chosen": "far"}), "lacks the distances"),
        (change(sent, error=-0.5), "foretells an error of -0.5"),
        (change(sent, error="small"), "foretells an error of 'small'"),
    ):
        with pytest.raises(FedloraError, match=words):
            newcomer.handle(0, bad)


def test_a_newcomer_does_what_a_newcomer_is_asked_and_nothing_else(met):
    _, newcomer, _ = met

    with pytest.raises(FedloraError, match="describes and takes"):
        newcomer.handle(0, encode(Message("control", {}, {"action": "finetune"})))


def test_a_run_that_has_learned_nothing_cannot_serve(tmp_path):
    with pytest.raises(FedloraError, match="has learned no generator"):
        Standing(tiny_run(), tmp_path, 0)
