"""All clients' updates side by side, folded into the base."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adapter.parts import WHOLE
from fedlora.adapter.span import AdapterSpan
from fedlora.aggregation.contract import FOLD, Aggregator, Duty, State, shares
from fedlora.aggregation.fedex import at_most, without_head
from fedlora.section import Section


class FloraConfig(Section):
    """No options."""


class Flora(Aggregator):
    """FLoRA (Wang et al. 2024, arXiv 2409.05976): sum_i p_i up_i down_i as one stack of ranks.

    Every client adds the stack to its frozen base and starts the next round from a new adapter,
    which it draws from the run's seed. Exact, ranks may differ. Values of a layer: r_i (d_in +
    d_out) up, sum_i r_i (d_in + d_out) down, or full rank where that is less.
    """

    Config = FloraConfig
    mixed_ranks = True
    new_factors = True

    @override
    def duty(self, round: int) -> Duty:
        return Duty(sends=WHOLE, gets=("head",), redraws=True, folds=True)

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        total = sum(max(layer.rank for layer in adapter.spec.layers) for adapter in sent)
        span = AdapterSpan(sent)
        spec = at_most(before.common.spec, total)
        stacked = span.combine(torch.tensor(shares(weights), dtype=torch.float64), spec)
        silent = {name: torch.zeros_like(up) for name, up in before.common.up.items()}
        common = replace(before.common, up=silent, head=stacked.head)
        return replace(before, common=common, extra={FOLD: without_head(stacked)})
