"""The rank of an adapter as one more condition, where a bank holds several."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter


def largest_rank(spec: AdapterSpec) -> int:
    """The largest rank of any layer."""
    return max(layer.rank for layer in spec.layers)


@dataclass(frozen=True)
class RankCode:
    """Appends (log2 rank - mean) / spread to conditions; nothing where the bank has one rank.

    statistics: (2,) float32, the mean and the spread over the bank's adapters.
    """

    statistics: Tensor

    @classmethod
    def of(cls, adapters: Sequence[LoraAdapter]) -> "RankCode":
        """From the largest rank of each adapter."""
        ranks = torch.tensor([float(largest_rank(adapter.spec)) for adapter in adapters]).log2()
        return cls(torch.stack([ranks.mean(), ranks.std(correction=0)]))

    @property
    def features(self) -> int:
        """Columns that are appended: 1, or 0."""
        return int(self.statistics[1] > 0)

    def __call__(self, conditions: Tensor, ranks: Tensor) -> Tensor:
        """Conditions (n, k) and ranks (n,) as conditions (n, k + features)."""
        if not self.features:
            return conditions
        code = (ranks.float().log2() - self.statistics[0]) / self.statistics[1]
        return torch.cat([conditions, code.unsqueeze(1)], dim=1)
