"""Local training learns, repeats itself, and stops where it should."""

import pytest
import torch

from fedlora.client.client import Client
from fedlora.client.desk import Desk
from fedlora.config import TrainSection
from fedlora.errors import FedloraError
from fedlora.finetune.local import current, fresh, put, train
from fedlora.wire.message import Message, decode, encode
from tests.conftest import small_config


def desk(**changes) -> Desk:
    return Client(small_config(**changes), 0).desk(3)


def test_training_lowers_the_loss_it_was_given():
    own = desk()
    settings = TrainSection(epochs=6, batch_size=8, learning_rate=5e-3)
    start = fresh(own.objective, 0)
    put(own.objective, start)
    before = own.objective.score(own.train)["loss"]
    trained = train(own.objective, start, own.train, None, settings, seed=0, keep=2)
    put(own.objective, trained.adapters[-1])
    assert own.objective.score(own.train)["loss"] < 0.8 * before
    assert len(trained.adapters) == 2
    assert trained.adapters[0].digest() != trained.adapters[1].digest()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_same_seed_gives_the_same_adapter_whatever_came_before(dropout: float):
    own = desk(lora={"dropout": dropout})
    settings = TrainSection(epochs=1, batch_size=8)
    start = fresh(own.objective, 0)
    digests = set()
    for noise in (1, 2):
        torch.manual_seed(noise)
        put(own.objective, fresh(own.objective, noise))
        trained = train(own.objective, start, own.train, None, settings, seed=5)
        digests.add(trained.adapters[-1].digest())
    assert len(digests) == 1


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_patience_ends_with_the_best_adapter(dropout: float):
    own = desk(lora={"dropout": dropout})
    settings = TrainSection(epochs=30, batch_size=8, learning_rate=0.05, patience=2)
    trained = train(
        own.objective, fresh(own.objective, 0), own.train, own.validation, settings, seed=0
    )
    assert len(trained.validation) < 30
    put(own.objective, trained.adapters[-1])
    assert own.objective.score(own.validation)["loss"] == min(trained.validation)


def test_a_trained_head_is_part_of_the_adapter_and_starts_from_the_models_own():
    own = desk(lora={"head": True})
    start = fresh(own.objective, 0)
    classifier = own.objective.slot.base.classifier
    assert torch.equal(start.head["classifier.weight"], classifier.weight)
    trained = train(own.objective, start, own.train, None, TrainSection(epochs=1), seed=0)
    moved = trained.adapters[-1].head["classifier.weight"] - classifier.weight
    assert moved.abs().max() > 0
    put(own.objective, start)
    assert current(own.objective).digest() == start.digest()


def test_a_loss_that_explodes_is_an_error_not_an_adapter():
    own = desk()
    settings = TrainSection(epochs=2, batch_size=8, learning_rate=1e30)
    with pytest.raises(FedloraError, match="lower the learning rate"):
        train(own.objective, fresh(own.objective, 0), own.train, None, settings, seed=0)


def test_a_client_whose_training_explodes_leaves_the_next_one_unharmed():
    client = Client(small_config(), 0)
    broken, next_one = client.desk(0), client.desk(1)
    wild = TrainSection(epochs=2, batch_size=8, learning_rate=1e30)
    with pytest.raises(FedloraError):
        train(broken.objective, fresh(broken.objective, 0), broken.train, None, wild, seed=0)
    frame = encode(Message("control", {}, {"action": "describe"}))
    assert decode(client.handle(1, frame), 1 << 24).meta["task"] == next_one.seat.task
