"""Protected federations: their rows, their claims, and attacks that find what there is to find."""

import pytest
import torch

from fedlora.bench.trust import privacy
from fedlora.bench.trust.privacy import PrivateCase, live_private, privacy_claims, private_cases
from fedlora.client.client import Client
from fedlora.evaluation.membership import losses, membership
from fedlora.evaluation.reconstruction import likeness, reconstruct
from fedlora.finetune.local import fresh, train
from fedlora.finetune.objectives.contract import take
from fedlora.finetune.task_vector import task_vector
from tests.conftest import small_config


@pytest.fixture(scope="module")
def desk():
    return Client(small_config(), 0).desk(0)


def test_an_adapter_that_learned_by_heart_gives_its_examples_away(desk):
    objective = desk.objective
    few = take(desk.train, torch.arange(12))
    settings = small_config(finetune={"epochs": 60, "learning_rate": 0.02}).finetune
    start = fresh(objective, 0)
    learned = train(objective, start, few, None, settings, 0).adapters[-1]

    assert membership(objective, learned, few, desk.test) > 0.85
    assert membership(objective, start, few, desk.test) < 0.65
    assert losses(objective, None, few).tolist() == losses(objective, start, few).tolist()


def test_a_reconstruction_has_the_features_that_were_sent(desk):
    config = small_config().task_vector
    one = take(desk.train, torch.arange(1))
    vector = task_vector(desk.objective, one, config)

    made = reconstruct(desk.objective, vector, one, steps=120)

    def away(image):
        rows = {"pixel_values": image, "labels": one["labels"]}
        return float((task_vector(desk.objective, rows, config) - vector).norm())

    assert away(made) < 0.2 * away(torch.full_like(made, 0.5))
    assert likeness(one["pixel_values"], desk.train["pixel_values"]) == pytest.approx(1.0)


def test_a_federation_becomes_a_row(monkeypatch):
    small = {**privacy._TASKS["vision"]}
    small["tasks"] = {
        **small["tasks"],
        "bank": 4,
        "held_out": 1,
        "splits": {"train": 30, "validation": 8, "test": 20},
    }
    monkeypatch.setitem(privacy._TASKS, "vision", small)

    row = live_private(PrivateCase("vision", 8.0, 0))

    assert 0 <= row["accuracy"] <= 1
    assert 0.2 < row["membership"] < 0.8
    assert {"image", "other_image", "base"} <= row.keys()


def test_claims_compare_with_the_same_seed_unprotected():
    rows = [
        {"family": "vision", "epsilon": e, "seed": s, "accuracy": a - 0.01 * s, "membership": 0.5}
        for s in (0, 1)
        for e, a in ((None, 0.8), (32.0, 0.78), (8.0, 0.7), (2.0, 0.4))
    ]
    claims = privacy_claims(rows)
    assert [round(c.value, 6) for c in claims] == [2, 0.5, 10, 0.5, 40, 0.5]
    assert len({case.name for case in private_cases((0, 1, 2))}) == 36


def test_whole_clients_are_protected_in_the_common_adapter(monkeypatch):
    small = {**privacy._TASKS[privacy.CLIENTS]}
    small["tasks"] = {
        **small["tasks"],
        "bank": 4,
        "held_out": 1,
        "splits": {"train": 16, "validation": 4, "test": 20},
    }
    monkeypatch.setitem(privacy._TASKS, privacy.CLIENTS, small)
    config = privacy.config_of(PrivateCase(privacy.CLIENTS, 8.0, 0))
    assert config.privacy is not None
    assert config.privacy.clients is not None

    row = live_private(PrivateCase(privacy.CLIENTS, 8.0, 0))

    assert row.keys() == {"family", "epsilon", "seed", "accuracy", "base"}
    others = [row | {"epsilon": e, "accuracy": 0.5} for e in (None, 32.0, 2.0)]
    claims = privacy_claims([row | {"accuracy": 0.4}, *others])
    assert [round(c.value, 6) for c in claims] == [0, 10, 0]
