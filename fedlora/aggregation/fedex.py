"""The average of the factors, and what it misses folded into the base."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.span import AdapterSpan
from fedlora.aggregation.contract import FOLD, Aggregator, Duty, State, shares
from fedlora.aggregation.fedavg import mean_factors
from fedlora.section import Section


class FedExConfig(Section):
    """No options."""


class FedEx(Aggregator):
    """FedEx-LoRA (Singhal et al. 2024, arXiv 2410.09432), its residual sent as factors.

    residual = sum_i p_i up_i down_i - mean(up) mean(down), of rank (n - 1) r at most, which every
    client adds to its frozen base; the paper sends it dense. Exact. Values of a layer: r (d_in +
    d_out) up; r (d_in + d_out) and the residual's (n - 1) r (d_in + d_out) down, or full rank
    where that is less.
    """

    Config = FedExConfig

    @override
    def duty(self, round: int) -> Duty:
        return Duty(folds=True)

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        common = mean_factors(sent, weights)
        rank = max((len(sent) - 1) * max(layer.rank for layer in common.spec.layers), 1)
        span = AdapterSpan([*sent, common])
        signed = torch.tensor([*shares(weights), -1.0], dtype=torch.float64)
        residual = without_head(span.combine(signed, at_most(common.spec, rank)))
        return replace(before, common=common, extra={FOLD: residual})


def at_most(spec: AdapterSpec, rank: int) -> AdapterSpec:
    """The same layers, each at a rank or at its full rank where that is less."""
    layers = (replace(layer, rank=min(rank, layer.d_in, layer.d_out)) for layer in spec.layers)
    return replace(spec, layers=tuple(layers))


def without_head(adapter: LoraAdapter) -> LoraAdapter:
    """The same adapter with a head of zeros, which adds nothing to another's."""
    return replace(adapter, head={n: torch.zeros_like(t) for n, t in adapter.head.items()})
