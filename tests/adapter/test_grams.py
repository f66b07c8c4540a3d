"""The effective rank of an update."""

import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.grams import Grams
from tests.adapters import random_adapter, regauged

SPEC = AdapterSpec("0" * 64, (LayerSpec("a", 9, 8, 3), LayerSpec("b", 8, 10, 3)), 4.0)


def effective_rank(adapter: LoraAdapter) -> float:
    return float(Grams.of([adapter]).effective_ranks())


def test_effective_rank_is_that_of_the_dense_singular_values_in_any_gauge():
    adapter = random_adapter(SPEC, 1)
    squares = [torch.linalg.svdvals(adapter.delta(x.name).double()) ** 2 for x in SPEC.layers]
    dense = sum(float(s.sum() ** 2 / (s**2).sum()) for s in squares) / 2

    assert effective_rank(adapter) == pytest.approx(dense, rel=1e-5)
    assert effective_rank(regauged(adapter, 3)) == pytest.approx(dense, rel=1e-4)


def test_one_direction_is_one_and_nothing_is_zero():
    adapter = random_adapter(SPEC, 1)
    one = {name: up * torch.tensor([1.0, 0.0, 0.0]) for name, up in adapter.up.items()}
    none = {name: torch.zeros_like(up) for name, up in adapter.up.items()}
    assert effective_rank(LoraAdapter(SPEC, adapter.down, one, {})) == pytest.approx(1)
    assert effective_rank(LoraAdapter(SPEC, adapter.down, none, {})) == 0


def test_adapters_of_several_ranks_are_measured_together_as_each_alone():
    adapters = [random_adapter(SPEC.with_rank(rank), rank) for rank in (1, 4, 2)]
    together = Grams.of(adapters)
    for at, adapter in enumerate(adapters):
        alone = Grams.of([adapter])
        dense = torch.stack([adapter.delta(x.name).double().norm() for x in SPEC.layers])
        assert torch.allclose(together.layer_norms()[at], dense, rtol=1e-5)
        assert float(together.norms()[at]) == pytest.approx(float(dense.norm()), rel=1e-5)
        ups = torch.cat([up.flatten() for up in adapter.up.values()])
        assert float(together.factor_norms()[0][at]) == pytest.approx(float(ups.norm()), rel=1e-5)
        assert float(together.excess()[at]) == pytest.approx(float(alone.excess()))


def test_excess_tells_a_gauge_and_nothing_else():
    adapter = random_adapter(SPEC, 1)
    stretched = torch.tensor([100.0, 1.0, 0.01])
    up = {name: value * stretched for name, value in adapter.up.items()}
    down = {name: value / stretched[:, None] for name, value in adapter.down.items()}
    apart = Grams.of([adapter, LoraAdapter(SPEC, down, up, {})])
    assert torch.allclose(apart.norms()[0], apart.norms()[1])
    assert apart.excess()[1] > 100 * apart.excess()[0]
