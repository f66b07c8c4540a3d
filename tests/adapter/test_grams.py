"""The effective rank of an update."""

import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.grams import Grams
from tests.adapters import random_adapter, regauged

SPEC = AdapterSpec("0" * 64, (LayerSpec("a", 9, 8, 3), LayerSpec("b", 8, 10, 3)), 4.0)


def test_it_is_that_of_the_dense_singular_values_in_any_gauge():
    adapter = random_adapter(SPEC, 1)
    squares = [torch.linalg.svdvals(adapter.delta(x.name).double()) ** 2 for x in SPEC.layers]
    dense = sum(float(s.sum() ** 2 / (s**2).sum()) for s in squares) / 2

    assert Grams.of(adapter).effective_rank() == pytest.approx(dense, rel=1e-5)
    assert Grams.of(regauged(adapter, 3)).effective_rank() == pytest.approx(dense, rel=1e-4)


def test_one_direction_is_one_and_nothing_is_zero():
    adapter = random_adapter(SPEC, 1)
    one = {name: up * torch.tensor([1.0, 0.0, 0.0]) for name, up in adapter.up.items()}
    none = {name: torch.zeros_like(up) for name, up in adapter.up.items()}
    assert Grams.of(LoraAdapter(SPEC, adapter.down, one, {})).effective_rank() == pytest.approx(1)
    assert Grams.of(LoraAdapter(SPEC, adapter.down, none, {})).effective_rank() == 0
