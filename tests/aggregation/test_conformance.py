"""Every aggregation method keeps the contract."""

import pytest
import torch

from fedlora import registry
from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.aggregation.contract import FOLD, Aggregator, State, effective, shares
from fedlora.errors import FedloraError
from tests.adapters import random_adapter

SPEC = AdapterSpec("0" * 64, (LayerSpec("a", 9, 8, 2), LayerSpec("b", 8, 10, 2)), 4.0)


def adapters(count: int, spec: AdapterSpec = SPEC) -> list[LoraAdapter]:
    return [random_adapter(spec, seed) for seed in range(count)]


def before(members: int) -> State:
    return State(0, LoraAdapter.from_flat(SPEC, torch.zeros(SPEC.size)), members)


def controls(method: Aggregator, count: int) -> list[LoraAdapter]:
    return adapters(count) if method.duty(1).controls else []


def served(method: Aggregator, sent: list[LoraAdapter], weights: list[float]) -> LoraAdapter:
    """What a client of the full rank has after the round, folded parts included."""
    state = method.aggregate(before(len(sent)), sent, weights, controls(method, len(sent)))
    folds = [state.extra[FOLD]] if FOLD in state.extra else []
    wide = SPEC.with_rank(8)
    return effective(method.give(state, wide), folds, wide)


@pytest.fixture(params=registry.names("aggregation"))
def method(request) -> Aggregator:
    part = registry.find("aggregation", request.param)
    return part(part.Config())


def test_every_method_of_the_docs_is_there():
    named = {"fedavg", "fedprox", "scaffold", "fedadam", "fedyogi", "fedex", "flora", "flexlora"}
    assert named | {"product", "ffa", "fedsa", "rolora", "hetlora"} <= set(
        registry.names("aggregation")
    )


def test_one_client_passes_through(method):
    (only,) = adapters(1)
    result = served(method, [only], [3.0])
    for layer in SPEC.layers:
        assert torch.allclose(result.delta(layer.name), only.delta(layer.name), atol=1e-5)


def test_only_ratios_of_weights_matter_and_nothing_is_mutated(method):
    three = adapters(3)
    digests = [adapter.digest() for adapter in three]
    a, b = served(method, three, [1, 2, 3]), served(method, three, [2, 4, 6])
    for layer in SPEC.layers:
        assert torch.allclose(a.delta(layer.name), b.delta(layer.name), atol=1e-5)
    assert [adapter.digest() for adapter in three] == digests


def test_a_weight_of_zero_leaves_a_client_out(method):
    two = adapters(2)
    result = served(method, two, [1.0, 0.0])
    for layer in SPEC.layers:
        assert torch.allclose(result.delta(layer.name), two[0].delta(layer.name), atol=1e-5)


def test_several_ranks_are_mixed_or_refused(method):
    mixed = [*adapters(1), *adapters(1, SPEC.with_rank(1))]
    if method.mixed_ranks:
        result = method.give(method.aggregate(before(2), mixed, [1, 1]), SPEC.with_rank(1))
        assert result.spec.with_rank(2).layers == SPEC.layers
    else:
        with pytest.raises(FedloraError, match="one rank"):
            method.aggregate(before(2), mixed, [1, 1], mixed)


def test_whether_clients_get_their_own_factors_back_or_new_ones_is_told(method):
    """Where all send the same; of a smaller rank where it may be."""
    spec = SPEC.with_rank(1) if method.mixed_ranks else SPEC
    (sent,) = adapters(1, spec)
    state = method.aggregate(before(2), [sent, sent], [1, 1], controls(method, 2))
    given = method.give(state, spec)
    same = torch.allclose(given.flatten(), sent.flatten(), atol=1e-5)

    assert same == (not method.new_factors)


OTHERS = {
    "another base model": AdapterSpec("1" * 64, SPEC.layers, 4.0),
    "other targets": AdapterSpec("0" * 64, (SPEC.layers[0], LayerSpec("c", 8, 10, 2)), 4.0),
    "fewer targets": AdapterSpec("0" * 64, SPEC.layers[:1], 4.0),
    "another width": AdapterSpec("0" * 64, (SPEC.layers[0], LayerSpec("b", 8, 12, 2)), 4.0),
    "another head": AdapterSpec("0" * 64, SPEC.layers, 4.0, head=(("bias", (3,)),)),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_an_adapter_of_another_place_is_refused_in_one_line(method, other):
    state, strange = before(8), adapters(1, other)
    sent = [*adapters(7), *strange]
    with pytest.raises(FedloraError) as refused:
        method.aggregate(state, sent, [1.0] * 8, sent)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0, -1.0]])
def test_weights_that_mean_nothing_are_refused(weights: list[float]):
    with pytest.raises(FedloraError, match="at least one must be positive"):
        shares(weights)


def test_zero_weights_are_refused_by_every_method(method):
    with pytest.raises(FedloraError, match="at least one must be positive"):
        method.aggregate(before(2), adapters(2), [0.0, 0.0], controls(method, 2))
