"""Adapters of random values, and the same adapters in other factors."""

import torch

from fedlora.adapter import AdapterSpec, LoraAdapter


def random_adapter(spec: AdapterSpec, seed: int = 0, scale: float = 1.0) -> LoraAdapter:
    """Every value from N(0, scale^2)."""
    draw = torch.Generator().manual_seed(seed)
    return LoraAdapter.from_flat(spec, scale * torch.randn(spec.size, generator=draw))


def regauged(adapter: LoraAdapter, draw: torch.Generator | int) -> LoraAdapter:
    """The same updates in other factors: (up R, R^-1 down).

    draw: a generator, or the seed of one.
    """
    generator = torch.Generator().manual_seed(draw) if isinstance(draw, int) else draw
    down, up = {}, {}
    for layer in adapter.spec.layers:
        turn = torch.randn(layer.rank, layer.rank, generator=generator) + 3 * torch.eye(layer.rank)
        up[layer.name] = adapter.up[layer.name] @ turn
        down[layer.name] = torch.linalg.inv(turn) @ adapter.down[layer.name]
    return LoraAdapter(adapter.spec, down, up, adapter.head)
