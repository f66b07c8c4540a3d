"""Packed weights give the products that the layers themselves give."""

import pytest
import torch
from torch import nn

from fedlora.backbone import packed as module
from fedlora.backbone.packed import packed


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(384, 384), nn.GELU(), nn.Linear(384, 384, bias=False), nn.Linear(384, 4)]
    return nn.Sequential(*layers).requires_grad_(False)


def products(model: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The result, and the gradient of its sum of squares in x."""
    x = x.clone().requires_grad_()
    out = model(x)
    out.square().sum().backward()
    return out.detach(), x.grad


avx512 = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512", reason="weights are packed for AVX-512"
)


@pytest.mark.parametrize("shape", [(7, 384), (2, 5, 384), (0, 384)])
def test_products_and_gradients_are_those_of_the_layers_themselves(model, shape):
    x = torch.randn(*shape)
    expected = products(model, x)
    with packed(model):
        ours = products(model, x)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@avx512
def test_the_frozen_layers_of_a_size_are_packed_and_unpacked_again(model):
    with packed(model):
        assert ["forward" in vars(layer) for layer in model] == [True, False, True, False]
    assert not any("forward" in vars(layer) for layer in model)


@avx512
def test_weights_are_laid_out_once_and_again_when_they_have_changed(model, monkeypatch):
    laid_out, count = module._laid_out, []
    monkeypatch.setattr(module, "_laid_out", lambda *a: count.append(1) or laid_out(*a))
    x = torch.randn(3, 384)
    for _ in range(2):
        with packed(model):
            before = products(model, x)
    assert len(count) == 2
    with torch.no_grad():
        model[0].weight.mul_(2.0)
    expected = products(model, x)
    with packed(model):
        ours = products(model, x)
    assert len(count) == 3
    torch.testing.assert_close(ours[0], expected[0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(ours[0], before[0])


def test_layers_that_train_or_are_in_another_precision_are_left_as_they_are(model):
    model[0].weight.requires_grad_()
    model[2].double()
    with packed(model):
        assert not any("forward" in vars(layer) for layer in model)


def test_a_large_model_is_left_as_it_is(model, monkeypatch):
    monkeypatch.setattr(module, "MOST", 1 << 20)
    with packed(model):
        assert not any("forward" in vars(layer) for layer in model)


@avx512
def test_a_second_derivative_is_refused(model):
    x = torch.randn(3, 384, requires_grad=True)
    with packed(model):
        (first,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            first.sum().backward()
