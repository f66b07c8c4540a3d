"""A copy is told from what is new."""

from dataclasses import replace

import pytest
import torch

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance
from fedlora.bench.generator.copies import copies, mean_copies, shared_mistakes
from fedlora.bench.generator.families import DENSE
from fedlora.bench.generator.side import Side
from tests.adapters import random_adapter
from tests.bench.generator.made import SPEC


def test_mistakes_are_shared_with_the_nearest_of_the_bank(tmp_path):
    splits = {"train": 16, "validation": 2, "test": 24}
    tiny = replace(DENSE, tasks={**DENSE.tasks, "bank": 4, "held_out": 2, "splits": splits})
    side = Side(replace(tiny, rounds=1).config(7), tmp_path)
    one, bank = side.newcomers[0].seat.client, side.bank.adapters
    own, theirs = side.mistakes(one, bank[0]), side.mistakes(one, bank[1])
    assert float(own.double().mean()) == pytest.approx(1 - side.value(one, bank[0]))
    assert bool((own != theirs).any())

    assert shared_mistakes(side, [bank[0], bank[3]]) == 1  # a lookup
    near = LoraAdapter.from_flat(bank[0].spec, 0.6 * bank[0].flatten())  # still nearest to it
    wrong = side.mistakes(one, near)
    expected = int((wrong & own).sum()) / int((wrong | own).sum())
    assert shared_mistakes(side, [near, bank[3]]) == pytest.approx((expected + 1) / 2)


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
    found = copies(bank, {"any": [bank[0], bank[1]]}, [zero, bank[1]])
    assert found[0]["any"]["norm"] is None
    assert found[0]["any"]["rank"] is None
    assert mean_copies(found)["any"]["norm"] == pytest.approx(1)
