"""Frozen dense layers that multiply by copies of their weights, laid out for the processor."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from fedlora.backbone.forwards import forwards

SMALLEST = 1 << 16
"""Values of a weight; smaller ones gain nothing."""

MOST = 128 << 20
"""Bytes of all copies; a model that needs more gains less than they cost."""

Forward = Callable[[Tensor], Tensor]

_made: WeakKeyDictionary[nn.Module, tuple[tuple[int, int], Forward]] = WeakKeyDictionary()
"""By layer the place and version of its weight, and its product with the copies of it."""


@contextmanager
def packed(model: nn.Module) -> Iterator[None]:
    """For as long as the block runs, products with frozen weights skip the copying of blocks.

    A product of matrices first copies both into blocks; a frozen weight needs that once, not at
    each step, and oneDNN's kernels for AVX-512 make use of it. Each weight is packed twice, the
    second time transposed for the gradient; the copies stay as long as the model does. Results
    differ by rounding. A model on another device or processor, in another precision or too large is
    left as it is. Weights must not change inside the block.
    """
    with forwards({layer: _forward(layer) for layer in _layers(model)}):
        yield


def _layers(model: nn.Module) -> list[nn.Module]:
    """Those that are packed; none where it would not pay."""
    kernels = ("_reorder_linear_weight", "_linear_pointwise")
    able = all(hasattr(torch.ops.mkldnn, name) for name in kernels)
    if not able or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return []
    layers = [
        module
        for module in model.modules()
        if type(module) is nn.Linear
        and not module.weight.requires_grad
        and module.weight.dtype == torch.float32
        and module.weight.device.type == "cpu"
        and module.weight.numel() >= SMALLEST
    ]
    copies = sum(2 * layer.weight.nbytes for layer in layers)
    return list(layers) if copies <= MOST else []


def _forward(layer: nn.Module) -> Forward:
    """Of a layer, made once and again where its weight has changed since."""
    weight = layer.get_parameter("weight")
    state = weight.data_ptr(), weight._version
    known = _made.get(layer)
    if known is None or known[0] != state:
        bias: Any = layer.bias
        _made[layer] = known = state, _laid_out(weight.detach(), bias)
    return known[1]


def _laid_out(weight: Tensor, bias: Tensor | None) -> Forward:
    pack: Any = torch.ops.mkldnn._reorder_linear_weight
    ahead, back = pack(weight), pack(weight.T.contiguous())

    def forward(x: Tensor) -> Tensor:
        out: Tensor = _Product.apply(x, ahead, back, bias)  # type: ignore[no-untyped-call]
        return out

    return forward


class _Product(torch.autograd.Function):
    """x W^T + b of a frozen layer: x is (..., d_in), the result (..., d_out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ahead: Tensor, back: Tensor, bias: Tensor | None) -> Tensor:
        ctx.back = back
        return _multiplied(x, ahead, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _multiplied(gradient, ctx.back, None), None, None, None


def _multiplied(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")
    return out
