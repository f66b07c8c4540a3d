"""A rule for every entry of DeltaW, and the best adapter for what it gives."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.span import check_same_place, stack_heads
from fedlora.aggregation.contract import State

Rule = Callable[[Tensor], Tensor]
"""(n, ...) values of n clients -> (...)."""

BLOCK = 1 << 22
"""Values of all clients' DeltaW that are formed at once."""

OVERSAMPLING = 8


def by_coordinate(before: State, adapters: Sequence[LoraAdapter], rule: Rule) -> State:
    """The rule applied to each entry of the clients' DeltaW and heads, at the ranks of `before`.

    Some rows of all clients' DeltaW are formed at a time, and one matrix of what the rule makes
    of them; its best approximation is found in a random sketch of its range (Halko, Martinsson and
    Tropp 2011, arXiv 0909.4061, algorithm 4.4, two power iterations). What that leaves out,
    relative to the whole, is reported as `truncation`.
    """
    check_same_place(adapters)
    spec = before.common.spec
    down, up = {}, {}
    whole = left_out = 0.0
    for index, layer in enumerate(spec.layers):
        values = _apply(adapters, index, rule)
        tall, wide = _factors(values, layer.rank, seeding.derive(0, "sketch", layer.name))
        scaling = spec.scaling(layer)
        up[layer.name] = (tall / math.sqrt(scaling)).float()
        down[layer.name] = (wide / math.sqrt(scaling)).float()
        whole += float(values.square().sum())
        left_out += float((values - tall @ wide).square().sum())
    common = LoraAdapter(spec, down, up, _head(spec, rule(stack_heads(adapters))))
    report = {"truncation": math.sqrt(left_out / whole) if whole > 0 else 0.0}
    return replace(before, common=common, report=report)


def _apply(adapters: Sequence[LoraAdapter], index: int, rule: Rule) -> Tensor:
    """One layer: (d_out, d_in) float64."""
    layers = [adapter.spec.layers[index] for adapter in adapters]
    name, d_in, d_out = layers[0].name, layers[0].d_in, layers[0].d_out
    ups = [a.up[name].double() * a.spec.scaling(x) for a, x in zip(adapters, layers, strict=True)]
    downs = [a.down[name].double() for a in adapters]
    rows = max(1, BLOCK // (len(adapters) * d_in))
    blocks = []
    for at in range(0, d_out, rows):
        deltas = [up[at : at + rows] @ down for up, down in zip(ups, downs, strict=True)]
        blocks.append(rule(torch.stack(deltas)))
    return torch.cat(blocks)


def _factors(values: Tensor, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    """up (d_out, r) and down (r, d_in), balanced; the largest entry of a column of up positive."""
    draw = torch.Generator().manual_seed(seed)
    width = min(rank + OVERSAMPLING, *values.shape)
    probes = torch.randn(values.shape[1], width, generator=draw, dtype=torch.float64)
    basis = torch.linalg.qr(values @ probes).Q
    for _ in range(2):
        basis = torch.linalg.qr(values @ torch.linalg.qr(values.T @ basis).Q).Q
    left, singular, right = torch.linalg.svd(basis.T @ values, full_matrices=False)
    tall = basis @ left[:, :rank]
    largest = tall.gather(0, tall.abs().argmax(0, keepdim=True)).squeeze(0)
    root = singular[:rank].sqrt() * torch.where(largest < 0, -1.0, 1.0)
    return tall * root, root[:, None] * right[:rank]


def _head(spec: AdapterSpec, values: Tensor) -> dict[str, Tensor]:
    parts = values.float().split([math.prod(shape) for _, shape in spec.head])
    return {n: part.reshape(s) for (n, s), part in zip(spec.head, parts, strict=True)}
