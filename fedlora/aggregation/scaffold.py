"""FedAvg of the factors with control variates against client drift."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import CONTROL, Aggregator, Duty, State
from fedlora.aggregation.fedavg import mean_factors
from fedlora.section import Section


class ScaffoldConfig(Section):
    """No options."""


class Scaffold(Aggregator):
    """SCAFFOLD (Karimireddy et al. 2020, arXiv 1910.06378) on the factors.

    Clients correct each gradient by c - c_i. Their new c_i is the mean gradient of their data at
    the adapter they received (option I of the paper), since with AdamW the way that an adapter
    went is no mean gradient; the server's c moves by the mean change times the share of clients
    that took part. One rank only. Values of a layer: 2 r (d_in + d_out) up, as many down.
    """

    Config = ScaffoldConfig

    @override
    def duty(self, round: int) -> Duty:
        return Duty(controls=True)

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        change = mean_factors(controls, [1.0] * len(controls)).flatten()
        known = before.extra.get(CONTROL)
        moved = change * (len(controls) / before.members)
        values = moved if known is None else known.flatten() + moved
        common = mean_factors(sent, weights)
        control = LoraAdapter.from_flat(common.spec, torch.as_tensor(values))
        return replace(before, common=common, extra={CONTROL: control})
