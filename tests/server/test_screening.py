"""Screening sees the size of DeltaW, not the disguise of its factors."""

import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.fresh import fresh_adapter
from fedlora.errors import FedloraError
from fedlora.server.screening import screen
from tests.adapters import random_adapter

SPEC = AdapterSpec(base="b", layers=(LayerSpec("k", 9, 7, 2), LayerSpec("q", 8, 8, 2)), alpha=4.0)


def adapter(scale: float = 1.0, gauge: float = 1.0) -> LoraAdapter:
    sent = random_adapter(SPEC)
    up = {name: value * scale * gauge for name, value in sent.up.items()}
    return LoraAdapter(SPEC, {n: v / gauge for n, v in sent.down.items()}, up, {})


def dense_norm(sent: LoraAdapter) -> float:
    return float(torch.cat([sent.delta(layer.name).reshape(-1) for layer in SPEC.layers]).norm())


@pytest.mark.parametrize("gauge", [1.0, 4.0, 0.25])
def test_the_limit_is_on_the_product_whatever_the_factors(gauge: float) -> None:
    sent = adapter(gauge=gauge)
    size = dense_norm(adapter())

    screen(sent, SPEC, size * 1.001)
    with pytest.raises(FedloraError, match=r"more than rounds\.max_norm"):
        screen(sent, SPEC, size * 0.999)


def test_factors_near_the_end_of_float32_are_refused() -> None:
    with pytest.raises(FedloraError, match=r"more than rounds\.max_norm"):
        screen(adapter(scale=1e37), SPEC, 1000.0)


def test_an_adapter_of_another_base_is_refused() -> None:
    other = AdapterSpec(base="c", layers=SPEC.layers, alpha=4.0)
    with pytest.raises(FedloraError, match="another base model"):
        screen(adapter(), other, 1000.0)


def test_another_rank_is_no_reason() -> None:
    small = SPEC.with_rank(1)
    screen(LoraAdapter.from_flat(small, torch.ones(small.size)), SPEC, 1000.0)


@pytest.mark.parametrize("gauge", [1e18, 1e-18])
def test_factors_that_would_take_over_an_average_are_refused(gauge: float) -> None:
    honest, hostile = adapter(), adapter(gauge=gauge)
    mean = {
        name: (honest.up[name] + hostile.up[name]) @ (honest.down[name] + hostile.down[name]) / 4
        for name in honest.up
    }
    assert dense_norm(hostile) < 1000 < max(float(product.norm()) for product in mean.values())

    screen(honest, SPEC, 1000.0)
    with pytest.raises(FedloraError, match=r"factors '(up|down)' .* more than rounds\.max_norm"):
        screen(hostile, SPEC, 1000.0)


def test_a_strict_limit_leaves_the_first_draw_alone() -> None:
    screen(fresh_adapter(SPEC, 0), SPEC, 1e-3)
