"""Whether a generator listens to its prompts: whose adapters lie nearest to what it makes."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import cross_gram, gram, mean_delta


def nearest_tasks(
    made: Sequence[LoraAdapter], bank: Mapping[str, Sequence[LoraAdapter]]
) -> list[str]:
    """For each adapter the task of the bank whose mean DeltaW it is nearest to."""
    names = list(bank)
    apart = squared_distances(made, [centre(bank[name]) for name in names])
    return [names[int(row.argmin())] for row in apart]


def squared_distances(rows: Sequence[LoraAdapter], columns: Sequence[LoraAdapter]) -> Tensor:
    """(n, m) float64, in product space: |a|^2 - 2 <a, b> + |b|^2."""
    own, others = (torch.tensor([_square(a) for a in side]) for side in (rows, columns))
    return (own.unsqueeze(1) - 2 * cross_gram(rows, columns) + others).clamp(min=0.0)


def centre(adapters: Sequence[LoraAdapter]) -> LoraAdapter:
    """The mean DeltaW of a task's adapters, exact."""
    rank = sum(max(layer.rank for layer in a.spec.layers) for a in adapters)
    narrow = min(min(one.d_in, one.d_out) for one in adapters[0].spec.layers)
    return mean_delta(adapters, [1 / len(adapters)] * len(adapters), min(rank, narrow))


def share(found: Sequence[str], expected: Sequence[str]) -> float:
    """Share of equal names."""
    return sum(a == b for a, b in zip(found, expected, strict=True)) / len(expected)


def _square(adapter: LoraAdapter) -> float:
    return float(gram([adapter])[0, 0])
