"""The honest update in factors that no average survives."""

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.attacks.contract import Attack, Sight
from fedlora.section import Section


class GaugeConfig(Section):
    """factor: c in (c up, down / c).

    by_rank: c and 1 / c in turn from rank to rank, so that `up` stays as large beside `down`.
    """

    factor: float = Field(100.0, gt=0)
    by_rank: bool = False


class Gauge(Attack):
    """(c up, down / c): the same DeltaW, which every check in product space must let pass.

    An average of factors is dominated by it; one of products is not.
    """

    Config = GaugeConfig

    @override
    def adapter(self, sight: Sight) -> LoraAdapter:
        honest = sight.honest
        down = {name: tensor / self._scales(len(tensor))[:, None] for name, tensor in
                honest.down.items()}  # fmt: skip
        up = {name: tensor * self._scales(tensor.shape[1]) for name, tensor in honest.up.items()}
        return LoraAdapter(honest.spec, down, up, honest.head)

    def _scales(self, rank: int) -> Tensor:
        """(rank,), of the columns of `up`."""
        turns = -torch.ones(rank) if self.config.by_rank else torch.ones(rank)
        turns[::2] = 1.0
        return torch.tensor(self.config.factor) ** turns
