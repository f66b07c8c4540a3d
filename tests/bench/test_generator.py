"""The generator bench: equal sides, and claims that follow from the rows."""

import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.product import distance
from fedlora.bench.generator.bench import COUNTS, judge, share
from fedlora.bench.generator.copies import copies
from fedlora.bench.generator.families import FAMILIES, GROWTH, HELD_OUT, config
from tests.adapters import random_adapter

GROWN = [name for way in GROWTH for name in (way, f"{way}, shuffled")]
SPEC = AdapterSpec("base", (LayerSpec("q", 6, 5, 2), LayerSpec("v", 6, 4, 2)), 4.0)
METHODS = ("mean", *(f"top-{k}" for k in COUNTS), *GROWN)


def row(**values: float) -> dict[str, object]:
    reached = dict.fromkeys(METHODS, 0.2) | {"base": 0.1, "local": 0.6} | values
    return {"family": "any", "seed": 1, "task": "a", "gap": True, **reached}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", GROWTH)
def test_all_sides_train_alike_on_the_same_tasks(family, way):
    plain, grown = config(family, 3, None), config(family, 3, way)
    assert grown.growth.generator.name == GROWTH[way]["name"]
    assert plain.tasks == grown.tasks
    assert plain.finetune == grown.finetune
    assert plain.warm_start.train == grown.warm_start.train == grown.growth.train
    assert plain.warm_start.rounds == grown.warm_start.rounds + grown.growth.rounds
    assert not plain.growth.rounds
    assert len(plain.tasks.build().names().held_out) == HELD_OUT >= 24


def test_retrieval_is_chosen_in_hindsight_and_compared_in_pairs():
    rows = [
        row(**{"top-2": 0.4, "top-3": 0.3, "grown": 0.5}),
        row(**{"top-2": 0.3, "top-3": 0.3, "grown": 0.35}),
    ]
    closed, beyond, shuffled = judge(rows, "any")[:3]

    assert closed.what.startswith("grown: ")
    assert "top-2" in beyond.what
    assert closed.value == pytest.approx((0.8 + 0.5) / 2)
    assert beyond.value == pytest.approx((0.2 + 0.1) / 2)
    assert beyond.low < 0.15 < beyond.high
    assert shuffled.value == pytest.approx(0)


def test_a_task_without_a_gap_decides_nothing():
    rows = [row(grown=0.5), row(grown=0.3), row(grown=99.0) | {"gap": False}]
    assert judge(rows, "any")[0].value == pytest.approx(0.6)
    assert judge(rows[2:], "any") == []


def test_a_share_is_one_at_local_training_and_zero_at_the_base():
    assert share(row(grown=0.6), "grown") == pytest.approx(1)
    assert share(row(grown=0.1), "grown") == pytest.approx(0)


def test_every_way_to_grow_is_claimed_alike():
    claims = judge([row(composed=0.5), row(composed=0.45)], "any")
    assert [claim.id for claim in claims] == ["G1", "G2", "G5"] * len(GROWTH)
    assert claims[4].value == pytest.approx(0.55)


def test_a_copy_is_told_from_what_is_as_new_as_the_bank():
    bank = [random_adapter(SPEC, seed) for seed in range(6)]
    new = [random_adapter(SPEC, 9)]
    half = [LoraAdapter.from_flat(SPEC, bank[0].flatten() / 2**0.5)]

    (found,) = copies(bank, {"lookup": [bank[2]], "new": new, "half": half}, [bank[0]])

    assert found["lookup"]["nearest"] == pytest.approx(0, abs=1e-5)
    own = [min(distance(a, b) for b in bank if b is not a) for a in bank]
    nearest = min(distance(new[0], one) for one in bank)
    assert found["new"]["nearest"] == pytest.approx(nearest / (sum(own) / 6))
    assert found["half"]["norm"] == pytest.approx(0.5)
    assert found["half"]["rank"] == pytest.approx(1.0)


def test_shares_of_a_trained_adapter_that_changes_nothing_are_none():
    zero = LoraAdapter.from_flat(SPEC, torch.zeros(SPEC.size))
    bank = [random_adapter(SPEC, seed) for seed in range(3)]
    (found,) = copies(bank, {"any": [bank[0]]}, [zero])
    assert found["any"]["norm"] is None
    assert found["any"]["rank"] is None
