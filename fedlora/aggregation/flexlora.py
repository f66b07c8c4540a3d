"""The mean of the products, back to each client at its own rank."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adapter.span import AdapterSpan
from fedlora.aggregation.contract import Aggregator, State, shares
from fedlora.aggregation.fedex import at_most
from fedlora.section import Section


class FlexLoraConfig(Section):
    """No options."""


class FlexLora(Aggregator):
    """FlexLoRA (Bai et al. 2024, arXiv 2402.11505) without the dense product.

    The server keeps sum_i p_i up_i down_i exactly, in factors; a client gets the best
    approximation at its rank. Ranks may differ. Values of a layer: r_i (d_in + d_out) up,
    r_i (d_in + d_out) down.
    """

    Config = FlexLoraConfig
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
        total = sum(max(layer.rank for layer in adapter.spec.layers) for adapter in sent)
        mean = torch.tensor(shares(weights), dtype=torch.float64)
        spec = at_most(before.common.spec, total)
        return replace(before, common=AdapterSpan(sent).combine(mean, spec))
