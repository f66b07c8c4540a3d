"""Ranks that differ and fade: pad, weigh by norm, truncate."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from pydantic import Field
from torch.nn.functional import pad
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.product import norm
from fedlora.adapter.span import check_same_place
from fedlora.aggregation.contract import Aggregator, Duty, State
from fedlora.aggregation.fedavg import mean_factors
from fedlora.aggregation.fedex import without_head
from fedlora.section import Section


class HetLoraConfig(Section):
    """Self-pruning.

    keep: share of a client's ranks that may remain when the others have faded; 1 prunes never.
    fade: weight of the term that makes them fade.
    """

    keep: float = Field(0.75, gt=0, le=1)
    fade: float = Field(1e-3, ge=0)


class HetLora(Aggregator):
    """HetLoRA (Cho et al. 2024, arXiv 2401.06432).

    A smaller rank is padded with zeros, clients weigh in proportion to |DeltaW_i|_F (times their
    weights here), and a client gets the first r_i ranks. A client whose last ranks have faded in
    its training sends the others alone from then on. Scalings go into the product. Not exact.
    Values of a layer: r_i (d_in + d_out) up, r_i (d_in + d_out) down.
    """

    Config = HetLoraConfig
    mixed_ranks = True

    @override
    def duty(self, round: int) -> Duty:
        return Duty(prunes=(self.config.keep, self.config.fade) if self.config.keep < 1 else None)

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        check_same_place(sent)
        sizes = [norm(without_head(adapter)) for adapter in sent]
        # In the first round of adapters that are all zero nobody has a norm.
        by_norm = [w * s for w, s in zip(weights, sizes, strict=True)] if any(sizes) else weights
        padded = [at_ranks(adapter, before.common.spec) for adapter in sent]
        return replace(before, common=mean_factors(padded, by_norm))

    @override
    def give(self, state: State, spec: AdapterSpec) -> LoraAdapter:
        return at_ranks(state.common, spec)


def at_ranks(adapter: LoraAdapter, spec: AdapterSpec) -> LoraAdapter:
    """The first ranks of the factors, or zeros after the last; the product keeps its scaling."""
    down, up = {}, {}
    for old, new in zip(adapter.spec.layers, spec.layers, strict=True):
        ratio = adapter.spec.scaling(old) / spec.scaling(new)
        more = new.rank - old.rank  # a negative number of ranks is cut off
        down[new.name] = pad(adapter.down[new.name], (0, 0, 0, more)).contiguous()
        up[new.name] = (ratio * pad(adapter.up[new.name], (0, more))).contiguous()
    fitted = replace(spec, head=adapter.spec.head)
    return LoraAdapter(fitted, down, up, {n: torch.clone(t) for n, t in adapter.head.items()})
