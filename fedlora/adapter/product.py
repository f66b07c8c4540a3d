"""Adapters as vectors in product space, where no choice of factors can disguise them.

An adapter stands for its DeltaW = scaling * up @ down, layer by layer, and for its head. All is
computed from the factors, in float64; no DeltaW is ever formed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedlora.adapter.grams import Grams
from fedlora.adapter.lora import LoraAdapter
from fedlora.adapter.span import AdapterSpan, check_same_place, stack_heads, stack_layer
from fedlora.errors import FedloraError

BLOCK = 32
"""Rows whose products with all columns are in memory at once."""


def product_inner(a: LoraAdapter, b: LoraAdapter) -> float:
    """Inner product of two adapters: their DeltaW, scalings inside, and their heads.

    Raises:
        FedloraError: the adapters are of different base models, layers or heads.
    """
    return float(cross_gram([a], [b])[0, 0])


def norm(a: LoraAdapter) -> float:
    """Frobenius norm over all layers and the head."""
    return float(Grams.of([a]).norms())


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
        for start in range(0, len(rows), BLOCK):
            block = slice(start, start + BLOCK)
            up, down, own = stack_layer(rows[block], index)
            rest = slice(first[start] if half else 0, None)
            inner = (up.T @ ups[:, rest]) * (down @ downs[rest].T)
            # summed over the ranks of each row, then over those of each column
            summed = inner.new_zeros(len(out[block]), inner.shape[1]).index_add_(0, own, inner)
            out[block].index_add_(1, owner[rest], summed)
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
