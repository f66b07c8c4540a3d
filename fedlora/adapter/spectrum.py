"""Over how many directions the weight of an update is spread."""

import torch

from fedlora.adapter.lora import LoraAdapter


def effective_rank(adapter: LoraAdapter) -> float:
    """(sum_k s_k^2)^2 / sum_k s_k^4, s being the singular values of DeltaW; a layer's mean.

    From 1, where one direction has all, to the rank, where all have as much; 0 for an adapter of
    zeros. With P = up^T up and Q = down down^T, sum s^2 = tr(P Q) and sum s^4 = tr(P Q P Q), so
    that no singular value is computed; scalings cancel.
    """
    found = []
    for layer in adapter.spec.layers:
        up, down = adapter.up[layer.name].double(), adapter.down[layer.name].double()
        both = (up.T @ up) @ (down @ down.T)
        fourth = float(torch.sum(both * both.T))
        found.append(float(both.trace()) ** 2 / fourth if fourth > 0 else 0.0)
    return sum(found) / len(found)
