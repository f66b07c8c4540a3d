"""One adapter at another rank, or many at one."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from fedlora.adapter.lora import LoraAdapter
from fedlora.adapter.span import AdapterSpan
from fedlora.adapter.spec import AdapterSpec


def resize(adapter: LoraAdapter, spec: AdapterSpec) -> LoraAdapter:
    """The adapter at the ranks and the alpha of a spec; itself where it has them already.

    Fewer ranks: the best approximation of DeltaW. More: the same DeltaW, further ranks zero. In
    both cases the factors are balanced.
    """
    if (adapter.spec.layers, adapter.spec.alpha, adapter.spec.rslora) == (
        spec.layers,
        spec.alpha,
        spec.rslora,
    ):
        return adapter
    return AdapterSpan([adapter]).combine(torch.ones(1), spec)


def at_one_rank(adapters: Sequence[LoraAdapter]) -> list[LoraAdapter]:
    """The same updates, each layer at the largest rank that any of the adapters has there.

    Alpha and rsLoRA become those of the first adapter that has the most values.
    """
    layers = zip(*(adapter.spec.layers for adapter in adapters), strict=True)
    most = max((adapter.spec for adapter in adapters), key=lambda spec: spec.size)
    widest = tuple(max(same, key=lambda layer: layer.rank) for same in layers)
    return [resize(adapter, replace(most, layers=widest)) for adapter in adapters]
