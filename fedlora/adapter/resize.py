"""One adapter at another rank."""

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
