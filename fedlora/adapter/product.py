"""Adapters as vectors in product space, where no choice of factors can disguise them.

An adapter stands for its DeltaW = scaling * up @ down, layer by layer, and for its head. All is
computed from the factors, in float64; no DeltaW is ever formed.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fedlora.adapter.lora import LoraAdapter
from fedlora.adapter.span import AdapterSpan, check_same_place, stack_heads, stack_layer
from fedlora.errors import FedloraError


def layer_inner(down_a: Tensor, up_a: Tensor, down_b: Tensor, up_b: Tensor) -> Tensor:
    """Inner product of two updates of one layer, without their scalings.

    <up_a down_a, up_b down_b> = tr((up_b^T up_a) (down_a down_b^T)),
    at a cost of (d_in + d_out) r_a r_b. The ranks may differ: down (r, d_in), up (d_out, r).
    """
    return torch.sum((up_a.T @ up_b) * (down_a @ down_b.T))


def product_inner(a: LoraAdapter, b: LoraAdapter) -> float:
    """Inner product of two adapters: their DeltaW, scalings inside, and their heads.

    Raises:
        FedloraError: the adapters are of different base models, layers or heads.
    """
    return float(cross_gram([a], [b])[0, 0])


def norm(a: LoraAdapter) -> float:
    """Frobenius norm over all layers and the head."""
    squares = [torch.sum(tensor.double() ** 2) for tensor in a.head.values()]
    return math.sqrt(max(float(sum([*squares, *_layer_squares(a)])), 0.0))


def layer_norms(a: LoraAdapter) -> Tensor:
    """Frobenius norm of each layer's DeltaW, (l,) float64, in the order of the spec."""
    return torch.stack(_layer_squares(a)).clamp_min(0.0).sqrt()


def _layer_squares(a: LoraAdapter) -> list[Tensor]:
    squares = []
    for layer in a.spec.layers:
        down, up = a.down[layer.name].double(), a.up[layer.name].double()
        squares.append(a.spec.scaling(layer) ** 2 * layer_inner(down, up, down, up))
    return squares


def distance(a: LoraAdapter, b: LoraAdapter) -> float:
    """Norm of the difference, to rounding even where the two are nearly equal.

    |a|^2 - 2 <a, b> + |b|^2 would lose half of the digits.
    """
    return AdapterSpan([a, b]).norm(torch.tensor([1.0, -1.0]))


def gram(adapters: Sequence[LoraAdapter]) -> Tensor:
    """Inner products of every pair, (n, n) float64, exactly symmetric; each is computed once.

    Raises:
        FedloraError: the adapters are of different base models, layers or heads.
    """
    check_same_place(adapters)
    upper = _products(adapters, adapters, half=True).triu()
    return upper + upper.triu(1).T


def cross_gram(rows: Sequence[LoraAdapter], columns: Sequence[LoraAdapter]) -> Tensor:
    """Inner products of every row with every column, (n, m) float64.

    Raises:
        FedloraError: the adapters are of different base models, layers or heads.
    """
    check_same_place([*rows, *columns])
    return _products(rows, columns, half=False)


def _products(rows: Sequence[LoraAdapter], columns: Sequence[LoraAdapter], half: bool) -> Tensor:
    """Inner products (n, m); half: left of the diagonal they are not whole."""
    out = stack_heads(rows) @ stack_heads(columns).T
    for index in range(len(columns[0].spec.layers)):
        ups, downs, owner = stack_layer(columns, index)
        first = torch.searchsorted(owner, torch.arange(len(columns))).tolist()
        for i, row in enumerate(rows):
            up, down, _ = stack_layer([row], index)
            rest = slice(first[i] if half else 0, None)
            # sum over the ranks of the row, then over the ranks of each column
            inner = ((up.T @ ups[:, rest]) * (down @ downs[rest].T)).sum(0)
            out[i].index_add_(0, owner[rest], inner)
    return out


def mean_delta(
    adapters: Sequence[LoraAdapter], weights: Sequence[float] | Tensor, rank: int
) -> LoraAdapter:
    """The best rank-`rank` adapter for sum_i weights_i DeltaW_i; heads take the same weights.

    The weights are used as they are: they need neither be positive nor sum to one. `alpha` and
    rsLoRA are those of the first adapter. What FlexLoRA does with a dense SVD (Bai et al. 2024,
    arXiv 2402.11505), done between the QR factors of the stacked ups and downs.

    Raises:
        FedloraError: no adapters, another number of weights than of adapters, adapters of
            different base models, layers or heads, or a rank that does not fit a layer.
    """
    if len(weights) != len(adapters):
        raise FedloraError(f"{len(weights)} weights for {len(adapters)} adapters")
    span = AdapterSpan(adapters)
    return span.combine(torch.as_tensor(weights), adapters[0].spec.with_rank(rank))
