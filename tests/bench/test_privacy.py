"""Protected federations: their rows, their claims, and attacks that find what there is to find."""

import pytest
import torch

from fedlora.bench.trust import privacy, privacy_plan
from fedlora.bench.trust.privacy import live_private
from fedlora.bench.trust.privacy_claims import privacy_claims
from fedlora.bench.trust.privacy_plan import (
    CLIENTS,
    FIXED,
    PrivateCase,
    config_of,
    private_cases,
)
from fedlora.client.client import Client
from fedlora.client.protecting import protection_of
from fedlora.evaluation.membership import (
    _told,
    losses,
    membership,
    pooled,
    vector_membership,
)
from fedlora.evaluation.reconstruction import likeness, match, reconstruct
from fedlora.finetune.local import fresh, train
from fedlora.finetune.objectives.contract import take
from fedlora.finetune.task_vector import task_vector
from fedlora.results import Claim
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

    told, guessed = (membership(objective, each, few, desk.test) for each in (learned, start))
    assert told.chance > 0.85
    assert guessed.chance < 0.65
    assert told.surely > 0.3 > guessed.surely
    assert losses(objective, None, few).tolist() == losses(objective, start, few).tolist()


def test_the_base_model_has_the_head_that_training_started_from():
    desk = Client(small_config(lora={"head": True}), 0).desk(0)
    start = fresh(desk.objective, 0)
    before = losses(desk.objective, None, desk.test)
    settings = small_config(finetune={"epochs": 2, "learning_rate": 0.1}).finetune
    learned = train(desk.objective, start, desk.train, None, settings, 0).adapters[-1]

    after = losses(desk.objective, learned, desk.test)

    assert losses(desk.objective, None, desk.test).tolist() == before.tolist() != after.tolist()


def test_members_that_surely_stand_out_are_counted_where_hardly_any_other_does():
    others = torch.linspace(0, 1, 200)
    members = torch.cat([torch.full((30,), 0.5), torch.full((10,), 2.0)])
    assert _told(members, others).surely == 0.25
    assert _told(others, others).surely == pytest.approx(0.01)
    assert _told(torch.arange(40.0), torch.arange(40.0)).surely == pytest.approx(0.05)


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


def test_a_mean_of_few_features_gives_its_examples_away_unless_it_is_noisy(desk):
    config = small_config().task_vector
    few = take(desk.train, torch.arange(8))
    vector = task_vector(desk.objective, few, config)
    members, rest = pooled(desk.objective, few), pooled(desk.objective, desk.test)
    known, others = rest.chunk(2)

    assert torch.allclose(members.mean(0), vector, atol=1e-5)
    assert vector_membership(vector, members, others, known).chance > 0.75
    noise = torch.randn(40, len(vector), generator=torch.Generator().manual_seed(0))
    told = [vector_membership(vector + 10 * n, members, others, known).chance for n in noise]
    assert sum(told) / len(told) == pytest.approx(0.5, abs=0.05)
    assert pooled(desk.objective, few, 4.0).norm(dim=1).max() <= 4.0 + 1e-4


def test_an_adapter_of_one_step_gives_its_image_away(desk):
    objective = desk.objective
    one, start = take(desk.train, torch.arange(1)), fresh(desk.objective, 0)
    settings = small_config(finetune={"epochs": 1, "checkpoints": 1}).finetune
    learned = train(objective, start, one, None, settings, 0).adapters[-1]

    def attack():
        return match(objective, start, learned, one, one["labels"], 0)

    made = attack()

    others = [likeness(made, image[None]) for image in desk.train["pixel_values"][1:]]
    assert likeness(made, one["pixel_values"]) > max(0.3, *others)
    assert torch.equal(made, attack())
    with pytest.raises(ValueError, match="not moved"):
        match(objective, start, start, one, one["labels"], 0)


def test_a_federation_becomes_a_row(monkeypatch):
    small = {**privacy_plan._TASKS["vision"]}
    small["tasks"] = {
        **small["tasks"],
        "bank": 4,
        "held_out": 1,
        "splits": {"train": 30, "validation": 8, "test": 20},
    }
    monkeypatch.setitem(privacy_plan._TASKS, "vision", small)

    seen = []

    def spied(objective, start, trained, *others):
        seen.append((start, trained))
        return match(objective, start, trained, *others, steps=2)

    monkeypatch.setattr(privacy, "match", spied)

    row = live_private(PrivateCase("vision", 8.0, 0))

    ((start, trained),) = seen  # a protected client trains `up` alone
    assert all(torch.equal(down, trained.down[name]) for name, down in start.down.items())
    assert any(up.any() and not torch.equal(up, trained.up[n]) for n, up in start.up.items())
    assert 0 <= row["accuracy"] <= 1
    assert 0.2 < row["membership"] < 0.8
    assert 0.2 < row["vector_membership"] < 0.8
    assert 0 <= min(row["membership_surely"], row["vector_membership_surely"]) <= 1
    assert row["together"] == 16.0
    images = [row[f"{made}{whose}image"] for made in ("", "adapter_") for whose in ("", "other_")]
    assert all(-1 <= image <= 1 for image in images)


def test_claims_compare_with_the_same_seed_unprotected():
    levels = (
        *((None, 0.8, 0.6), (FIXED, 0.79, 0.6)),
        *((32.0, 0.78, 0.5), (8.0, 0.7, 0.5), (2.0, 0.4, 0.3)),
    )
    rows = [
        {"family": "vision", "epsilon": e, "seed": s, "accuracy": a - 0.01 * s, "membership": m}
        | {"base": 0.1 - 0.01 * s, "vector_membership": m + 0.1, "image": m, "other_image": 0.3}
        for s in (0, 1)
        for e, a, m in levels
    ]
    claims = privacy_claims(rows)
    assert [round(c.value, 6) for c in claims] == [
        *(70, 0.6, 0.7, 0.3),
        1,
        *(2, 0.5, 0.6, 0.2),
        *(10, 0.5, 0.6, 0.2),
        *(40, 0.3, 0.4, 0),
    ]
    assert [c.sense for c in claims] == [">="] * 4 + ["<="] * 13
    assert [c.met for c in claims[-4:]] == [False, True, True, True]
    assert len({case.name for case in private_cases((0, 1, 2))}) == 36 + 6


def test_what_attacks_do_not_find_without_protection_proves_nothing_of_it():
    seed = {"family": "text", "seed": 0, "base": 0.8, "vector_membership": 0.7}
    rows = [
        seed | {"epsilon": None, "accuracy": 0.81, "membership": 0.52},
        seed | {"epsilon": 8.0, "accuracy": 0.8, "membership": 0.5},
    ]
    gained, found, by_vectors, lost, hidden, in_vectors = privacy_claims(rows)
    assert [gained.met, found.met, by_vectors.met] == [False, False, True]
    for claim, control in ((lost, gained), (hidden, found)):
        assert (claim.value, claim.met, claim.low) == (None, None, None)
        assert claim.reason.startswith("proves nothing: ")
        assert control.what in claim.reason
    assert in_vectors.value == 0.7
    Claim.model_validate(hidden.model_dump())


def test_a_row_without_noise_differs_from_protected_ones_by_noise_alone():
    bare, fixed, noisy = (config_of(PrivateCase("text", e, 0)) for e in (None, FIXED, 8.0))
    assert bare.privacy is None
    assert fixed.privacy.task_vector is None
    assert protection_of(fixed, 120).noise < 0.01 < 1 < protection_of(noisy, 120).noise
    other = {"privacy": None}
    assert fixed.model_copy(update=other) == noisy.model_copy(update=other)


def test_whole_clients_are_protected_in_the_common_adapter(monkeypatch):
    small = {**privacy_plan._TASKS[CLIENTS]}
    small["tasks"] = {
        **small["tasks"],
        "bank": 4,
        "held_out": 1,
        "splits": {"train": 16, "validation": 4, "test": 20},
    }
    monkeypatch.setitem(privacy_plan._TASKS, CLIENTS, small)
    config = config_of(PrivateCase(CLIENTS, 8.0, 0))
    assert config.privacy is not None
    assert config.privacy.clients is not None

    row = live_private(PrivateCase(CLIENTS, 8.0, 0))

    assert row.keys() == {"family", "epsilon", "together", "seed", "accuracy", "base"}
    assert row["together"] == 8.0
    others = [row | {"epsilon": e, "accuracy": 0.5} for e in (None, 32.0, 2.0)]
    claims = privacy_claims([each | {"base": 0.1} for each in (row | {"accuracy": 0.4}, *others)])
    assert [round(c.value, 6) for c in claims] == [40, 10, 0, 0]
