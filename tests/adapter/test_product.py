"""Product-space geometry against the slow, dense computation."""

import math

import pytest
import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.product import (
    cross_gram,
    distance,
    gram,
    mean_delta,
    norm,
    product_inner,
)
from fedlora.errors import FedloraError
from tests import adapters
from tests.adapters import regauged

SPEC = AdapterSpec(
    base="base",
    layers=(LayerSpec("first", 12, 9, 3), LayerSpec("second", 7, 10, 3)),
    alpha=8.0,
    head=(("bias", (4,)), ("weight", (4, 5))),
)


def random_adapter(seed: int, spec: AdapterSpec = SPEC) -> LoraAdapter:
    return adapters.random_adapter(spec, seed)


def dense(adapter: LoraAdapter) -> Tensor:
    """Every DeltaW and the head as one vector, float64."""
    spec = adapter.spec
    deltas = [
        spec.scaling(layer) * adapter.up[layer.name].double() @ adapter.down[layer.name].double()
        for layer in spec.layers
    ]
    heads = [adapter.head[name].double() for name, _ in spec.head]
    return torch.cat([part.flatten() for part in (*deltas, *heads)])


def best_of_rank(matrix: Tensor, rank: int) -> Tensor:
    svd = torch.linalg.svd(matrix, full_matrices=False)
    best: Tensor = svd.U[:, :rank] * svd.S[:rank] @ svd.Vh[:rank]
    return best


def test_inner_products_equal_the_dense_ones_whatever_the_ranks() -> None:
    adapters = [
        random_adapter(0),
        random_adapter(1, SPEC.with_rank(1)),
        random_adapter(2, SPEC.with_rank(6)),
    ]
    vectors = torch.stack([dense(adapter) for adapter in adapters])
    expected = vectors @ vectors.T

    assert torch.allclose(gram(adapters), expected, rtol=1e-12, atol=1e-10)
    assert torch.allclose(cross_gram(adapters[:1], adapters), expected[:1], rtol=1e-12, atol=1e-10)
    assert product_inner(adapters[0], adapters[2]) == pytest.approx(float(expected[0, 2]))
    assert norm(adapters[1]) == pytest.approx(math.sqrt(expected[1, 1]))
    assert distance(adapters[0], adapters[2]) == pytest.approx(
        float((vectors[0] - vectors[2]).norm()), rel=1e-12
    )


def test_geometry_ignores_the_choice_of_factors() -> None:
    a, b = random_adapter(0), random_adapter(1)
    same = regauged(a, 2)
    assert product_inner(same, b) == pytest.approx(product_inner(a, b), rel=1e-5)
    assert distance(a, same) < 1e-5 * norm(a)


def test_distance_keeps_its_digits_between_near_copies() -> None:
    a = random_adapter(0)
    moved = a.flatten().clone()
    moved[-1] += 2.0**-20
    near = LoraAdapter.from_flat(SPEC, moved)
    expected = abs(float(near.head["weight"][-1, -1]) - float(a.head["weight"][-1, -1]))

    assert distance(a, near) == pytest.approx(expected, rel=1e-6)
    assert distance(a, a) < 1e-12 * norm(a)


def test_mean_delta_is_the_dense_answer_truncated() -> None:
    adapters = [random_adapter(seed, SPEC.with_rank(1 + seed)) for seed in range(4)]
    weights = [0.5, 0.8, -0.6, 0.3]
    mean = mean_delta(adapters, weights, 3)

    for layer in SPEC.layers:
        total = sum(
            w * a.spec.scaling(one) * a.up[layer.name].double() @ a.down[layer.name].double()
            for w, a in zip(weights, adapters, strict=True)
            for one in a.spec.layers
            if one.name == layer.name
        )
        assert isinstance(total, Tensor)
        got = (
            mean.spec.scaling(layer) * mean.up[layer.name].double() @ mean.down[layer.name].double()
        )
        error = (got - best_of_rank(total, 3)).norm() / total.norm()
        assert error < 3e-7  # the factors are stored in float32
    for name, _ in SPEC.head:
        expected = sum(w * a.head[name] for w, a in zip(weights, adapters, strict=True))
        assert torch.allclose(mean.head[name], torch.as_tensor(expected), atol=1e-6)


def test_mean_delta_of_more_ranks_than_rows_is_the_dense_answer_truncated() -> None:
    wide = AdapterSpec("base", (LayerSpec("one", 280, 260, 8), LayerSpec("two", 12, 300, 8)), 8.0)
    adapters = [random_adapter(seed, wide) for seed in range(34)]  # 272 ranks
    weights = [0.1 + 0.01 * seed for seed in range(34)]
    mean = mean_delta(adapters, weights, 4)

    for layer in mean.spec.layers:
        total = sum(
            w * a.delta(layer.name).double() for w, a in zip(weights, adapters, strict=True)
        )
        assert isinstance(total, Tensor)
        error = (mean.delta(layer.name).double() - best_of_rank(total, 4)).norm() / total.norm()
        assert error < 1e-6


def test_mean_delta_is_balanced_and_of_fixed_signs() -> None:
    mean = mean_delta([random_adapter(0), random_adapter(1)], [0.5, 0.5], 2)
    for layer in mean.spec.layers:
        up, down = mean.up[layer.name], mean.down[layer.name]
        assert torch.allclose(up.norm(dim=0), down.norm(dim=1), rtol=1e-5)
        assert torch.allclose(up.T @ up, down @ down.T, atol=1e-4)
        assert bool((up.gather(0, up.abs().argmax(0, keepdim=True)) > 0).all())


def test_mean_delta_of_one_adapter_at_a_larger_rank_is_that_adapter() -> None:
    a = random_adapter(0)
    assert distance(mean_delta([a], [1.0], 6), a) < 1e-6 * norm(a)


def test_rank_stabilised_scaling_stays_inside_the_product() -> None:
    spec = AdapterSpec(base="base", layers=SPEC.layers, alpha=4.0, rslora=True)
    a = random_adapter(0, spec)
    assert distance(mean_delta([a], [1.0], 5), a) < 1e-6 * norm(a)


def test_a_zero_adapter_has_no_length() -> None:
    zero = LoraAdapter.from_flat(SPEC, torch.zeros(SPEC.size))
    assert norm(zero) == 0.0
    assert norm(mean_delta([zero, zero], [0.5, 0.5], 3)) == 0.0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (AdapterSpec("else", SPEC.layers, 8.0, head=SPEC.head), "two base models"),
        (AdapterSpec("base", SPEC.layers[:1], 8.0, head=SPEC.head), "different layers"),
        (AdapterSpec("base", SPEC.layers, 8.0), "different heads"),
    ],
)
def test_adapters_of_different_places_are_refused(other: AdapterSpec, message: str) -> None:
    with pytest.raises(FedloraError, match=message):
        product_inner(random_adapter(0), random_adapter(1, other))
    with pytest.raises(FedloraError, match=message):
        mean_delta([random_adapter(0), random_adapter(1, other)], [0.5, 0.5], 2)


def test_nothing_and_a_wrong_number_of_weights_are_refused() -> None:
    with pytest.raises(FedloraError, match="no adapters"):
        gram([])
    with pytest.raises(FedloraError, match="1 weights for 2 adapters"):
        mean_delta([random_adapter(0), random_adapter(1)], [1.0], 2)
