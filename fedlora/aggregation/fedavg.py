"""FedAvg of the factors (FedIT)."""

from collections.abc import Sequence

import torch
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import Aggregator, shares
from fedlora.errors import FedloraError
from fedlora.section import Section


class FedAvgConfig(Section):
    """No options."""


class FedAvg(Aggregator):
    """Average `down` and `up` entry by entry (Zhang et al. 2023, arXiv 2305.05644).

    Not exact: mean(up) @ mean(down) is not mean(up @ down) unless the clients share a factor.
    One rank only.
    """

    Config = FedAvgConfig

    @override
    def aggregate(self, adapters: Sequence[LoraAdapter], weights: Sequence[float]) -> LoraAdapter:
        spec = adapters[0].spec
        values = torch.zeros(spec.size, dtype=torch.float64)
        # One at a time: thousands may be on the disk alone.
        for adapter, share in zip(adapters, shares(weights), strict=True):
            if adapter.spec != spec:
                raise FedloraError(
                    "warm_start.aggregation: fedavg averages adapters of one rank and one base only"
                )
            values += share * adapter.flatten().double()
        return LoraAdapter.from_flat(spec, values.float())
