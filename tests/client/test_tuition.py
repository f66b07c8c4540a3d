"""What a client gives up of its ranks when they have faded in training."""

from dataclasses import replace

import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.client.tuition import pruned
from tests.adapters import random_adapter

SPEC = AdapterSpec("b" * 64, (LayerSpec("a", 12, 9, 4), LayerSpec("b", 10, 8, 4)), 8.0)


def last_times(adapter: LoraAdapter, size: float) -> LoraAdapter:
    """In one layer's `up`, the last two ranks are so many times as large, the others twice."""
    up = 2 * adapter.up["a"]
    up[:, 2:] = size * adapter.up["a"][:, 2:]
    return replace(adapter, up={**adapter.up, "a": up})


def test_faded_ranks_go_and_the_others_keep_their_product():
    start = random_adapter(SPEC, 1)
    trained = last_times(start, 0.9)
    kept = pruned(start, trained, 0.5)

    assert [layer.rank for layer in kept.spec.layers] == [2, 2]
    for layer in SPEC.layers:
        first = trained.up[layer.name][:, :2] @ trained.down[layer.name][:2]
        assert torch.allclose(kept.delta(layer.name), SPEC.scaling(layer) * first, atol=1e-6)


@pytest.mark.parametrize(("size", "keep"), [(1.1, 0.5), (1.0, 0.5), (0.9, 1.0)])
def test_ranks_that_have_not_faded_or_may_all_stay_do(size: float, keep: float):
    start = random_adapter(SPEC, 1)
    trained = last_times(start, size)

    assert pruned(start, trained, keep) is trained


def test_ranks_fade_by_the_product_of_both_norms_over_all_layers_together():
    start = random_adapter(SPEC, 1)
    grown = last_times(start, 1.5)
    faded = replace(grown, down={**grown.down, "b": 0.01 * grown.down["b"]})

    assert pruned(start, grown, 0.5) is grown
    assert pruned(start, faded, 0.5).spec.layers[0].rank == 2

    larger = last_times(start, 3.0)
    traded = replace(larger, down={**larger.down, "a": 0.2 * larger.down["a"]})
    assert pruned(start, traded, 0.5).spec.layers[0].rank == 2
