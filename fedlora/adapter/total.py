"""Several adapters of one base model as the one that does what all of them do."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from fedlora.adapter.lora import LoraAdapter
from fedlora.adapter.span import AdapterSpan, check_same_place, stack_layer
from fedlora.adapter.spec import AdapterSpec


def total_spec(spec: AdapterSpec, rank: int) -> AdapterSpec:
    """The spec of a sum of rank at most `rank` a layer, without a head and with scaling 1."""
    layers = tuple(replace(x, rank=min(rank, x.d_in, x.d_out)) for x in spec.layers)
    widest = max(layer.rank for layer in layers)
    return replace(spec, layers=layers, alpha=float(widest), rslora=False, head=())


def total(adapters: Sequence[LoraAdapter]) -> LoraAdapter:
    """Sum of DeltaW: downs stacked, ups side by side, so that every row stays what it was.

    Where the ranks add up to more than a layer has, its SVD takes their place, as exact but for
    rounding. Heads are left out.

    Raises:
        FedloraError: no adapters, or adapters of different base models or layers.
    """
    bare = [
        LoraAdapter(replace(adapter.spec, head=()), adapter.down, adapter.up, {})
        for adapter in adapters
    ]
    check_same_place(bare)
    rank = sum(max(layer.rank for layer in adapter.spec.layers) for adapter in bare)
    spec = total_spec(bare[0].spec, rank)
    if any(layer.rank < rank for layer in spec.layers):
        return AdapterSpan(bare).combine(torch.ones(len(bare)), spec)
    down, up = {}, {}
    for index, layer in enumerate(spec.layers):
        ups, downs, _ = stack_layer(bare, index)
        down[layer.name], up[layer.name] = downs.float(), ups.float()
    return LoraAdapter(spec, down, up, {})
