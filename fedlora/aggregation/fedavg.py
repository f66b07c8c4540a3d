"""FedAvg of the factors (FedIT)."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.place import check_place
from fedlora.aggregation.contract import Aggregator, State, shares
from fedlora.errors import FedloraError
from fedlora.section import Section


class FedAvgConfig(Section):
    """No options."""


class FedAvg(Aggregator):
    """Average `down` and `up` entry by entry (Zhang et al. 2023, arXiv 2305.05644).

    Not exact: mean(up) @ mean(down) is not mean(up @ down) unless the clients share a factor.
    One rank only. Values of a layer, rank r: r (d_in + d_out) up, r (d_in + d_out) down.
    """

    Config = FedAvgConfig

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        return replace(before, common=mean_factors(sent, weights))


def mean_factors(adapters: Sequence[LoraAdapter], weights: Sequence[float]) -> LoraAdapter:
    """The average of every value, in float64.

    Raises:
        FedloraError: the weights are all zero, or the adapters are not of one spec.
    """
    spec = adapters[0].spec
    values = torch.zeros(spec.size, dtype=torch.float64)
    # One at a time: thousands may be on the disk alone.
    for adapter, share in zip(adapters, shares(weights), strict=True):
        check_one_rank(adapter, spec)
        values += share * adapter.flatten().double()
    return LoraAdapter.from_flat(spec, values.float())


def check_one_rank(adapter: LoraAdapter, spec: AdapterSpec) -> None:
    """Refuse an adapter whose factors cannot be laid beside those of a spec.

    Raises:
        FedloraError: it is of another rank, base model, layers, scaling or head.
    """
    if adapter.spec != spec:
        check_place(adapter.spec, spec)
        raise FedloraError(
            "warm_start.aggregation: this method averages adapters of one rank only;"
            " choose flexlora, flora, hetlora or product for several ranks"
        )
