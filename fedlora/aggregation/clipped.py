"""The mean of the changes, none longer than a limit."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adapter.span import AdapterSpan
from fedlora.aggregation.contract import Aggregator, State
from fedlora.aggregation.krum_scores import squared_distances
from fedlora.aggregation.median import median
from fedlora.aggregation.suspects import counted
from fedlora.section import Section


class ClippedConfig(Section):
    """limit: of a change's norm in product space; the median of the round's when absent."""

    limit: float | None = Field(None, gt=0)


class Clipped(Aggregator):
    """W + sum_i p_i min(1, c / |DeltaW_i - W|) (DeltaW_i - W), W being what the round began from.

    Norm clipping (Sun et al. 2019, arXiv 1911.07963) in product space, at `lora.rank`. How many
    clients were clipped is reported as `clipped`. Ranks may differ.
    """

    Config = ClippedConfig
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
        adapters, parts = counted(sent, weights)
        lengths = squared_distances([before.common, *adapters])[0, 1:].sqrt()
        limit = median(lengths) if self.config.limit is None else self.config.limit
        kept = torch.clamp(limit / lengths.clamp_min(1e-300), max=1.0)
        moves = kept * torch.tensor(parts, dtype=torch.float64)
        combined = torch.cat([1 - moves.sum().reshape(1), moves])
        common = AdapterSpan([before.common, *adapters]).combine(combined, before.common.spec)
        return replace(before, common=common, report={"clipped": float((kept < 1).sum())})
