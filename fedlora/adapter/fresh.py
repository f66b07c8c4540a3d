"""Where an adapter starts."""

import math

import torch

from fedlora.adapter.lora import LoraAdapter
from fedlora.adapter.spec import AdapterSpec


def fresh_adapter(spec: AdapterSpec, seed: int) -> LoraAdapter:
    """A new adapter without a head: `down` uniform as in PEFT (Kaiming, a = sqrt 5), `up` zero."""
    rng = torch.Generator().manual_seed(seed)
    down = {}
    for layer in spec.layers:
        bound = 1 / math.sqrt(layer.d_in)
        values = torch.rand(layer.rank, layer.d_in, generator=rng)
        down[layer.name] = (2 * values - 1) * bound
    up = {layer.name: torch.zeros(layer.d_out, layer.rank) for layer in spec.layers}
    return LoraAdapter(spec, down, up, {})


def first_ranks(adapter: LoraAdapter, spec: AdapterSpec) -> LoraAdapter:
    """As many of the first ranks of the factors as a spec has; the head stays."""
    down = {x.name: adapter.down[x.name][: x.rank] for x in spec.layers}
    up = {x.name: adapter.up[x.name][:, : x.rank] for x in spec.layers}
    return LoraAdapter(spec, down, up, adapter.head)
