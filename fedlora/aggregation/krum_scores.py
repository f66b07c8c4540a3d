"""How far each adapter is from those nearest to it, in product space."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import gram


def squared_distances(adapters: Sequence[LoraAdapter]) -> Tensor:
    """|DeltaW_i - DeltaW_j|^2 over all layers and the head, (n, n) float64."""
    inner = gram(adapters)
    squares = inner.diagonal()
    return (squares[:, None] + squares[None, :] - 2 * inner).clamp_min(0)


def krum_scores(distances: Tensor, attackers: int) -> Tensor:
    """Sum of the squared distances to the n - f - 2 nearest others (Blanchard et al. 2017), (n,).

    With fewer than three more clients than attackers the nearest one counts.

    Args:
        distances: (n, n), squared.
        attackers: f.
    """
    n = len(distances)
    others = distances.clone()
    others.fill_diagonal_(torch.inf)
    nearest = min(max(n - attackers - 2, 1), n - 1)
    return others.sort(1).values[:, :nearest].sum(1)
