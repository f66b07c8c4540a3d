"""The mean of the products at the run's rank, and how much that leaves out."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance, norm
from fedlora.adapter.span import AdapterSpan
from fedlora.aggregation.contract import Aggregator, State, shares
from fedlora.aggregation.fedex import at_most, without_head
from fedlora.section import Section


class ProductConfig(Section):
    """No options."""


class Product(Aggregator):
    """The best adapter of `lora.rank` for sum_i p_i up_i down_i (Eckart and Young 1936).

    What is left out, relative to the whole, is reported each round as `truncation`. Ranks may
    differ. Values of a layer: r_i (d_in + d_out) up, r_i (d_in + d_out) down.
    """

    Config = ProductConfig
    mixed_ranks = True
    new_factors = True

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        mean = torch.tensor(shares(weights), dtype=torch.float64)
        total = sum(max(layer.rank for layer in adapter.spec.layers) for adapter in sent)
        span, spec = AdapterSpan(sent), before.common.spec
        whole, common = span.combine(mean, at_most(spec, total)), span.combine(mean, spec)
        size = norm(without_head(whole))  # of a head nothing is left out
        left_out = distance(whole, common) / size if size > 0 else 0.0
        return replace(before, common=common, report={"truncation": left_out})
