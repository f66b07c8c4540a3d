"""Every aggregation method keeps the contract."""

import pytest
import torch

from fedlora import registry
from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.aggregation.contract import shares
from fedlora.errors import FedloraError
from tests.adapters import random_adapter

SPEC = AdapterSpec("0" * 64, (LayerSpec("a", 5, 4, 2), LayerSpec("b", 4, 6, 2)), 4.0)


def adapters(count: int) -> list[LoraAdapter]:
    return [random_adapter(SPEC, seed) for seed in range(count)]


@pytest.fixture(params=registry.names("aggregation"))
def method(request):
    part = registry.find("aggregation", request.param)
    return part(part.Config())


def test_one_client_passes_through(method):
    (only,) = adapters(1)
    result = method.aggregate([only], [3.0])
    for layer in SPEC.layers:
        assert torch.allclose(result.delta(layer.name), only.delta(layer.name), atol=1e-5)


def test_only_ratios_of_weights_matter_and_nothing_is_mutated(method):
    three = adapters(3)
    before = [adapter.digest() for adapter in three]
    a, b = method.aggregate(three, [1, 2, 3]), method.aggregate(three, [2, 4, 6])
    assert torch.allclose(a.flatten(), b.flatten(), atol=1e-6)
    assert [adapter.digest() for adapter in three] == before


def test_a_weight_of_zero_leaves_a_client_out(method):
    two = adapters(2)
    result = method.aggregate(two, [1.0, 0.0])
    for layer in SPEC.layers:
        assert torch.allclose(result.delta(layer.name), two[0].delta(layer.name), atol=1e-5)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0, -1.0]])
def test_weights_that_mean_nothing_are_refused(weights: list[float]):
    with pytest.raises(FedloraError, match="at least one must be positive"):
        shares(weights)
