"""The point whose distances to all clients add up to the least."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import gram
from fedlora.adapter.span import AdapterSpan
from fedlora.aggregation.contract import Aggregator, State
from fedlora.aggregation.suspects import counted
from fedlora.section import Section

CONVERGED = 1e-9


class GeometricMedianConfig(Section):
    """iterations: of Weiszfeld's algorithm, at most."""

    iterations: int = Field(200, ge=1)


class GeometricMedian(Aggregator):
    """argmin_v sum_i p_i |v - DeltaW_i| (RFA, Pillutla et al. 2019, arXiv 1912.13445).

    By the smoothed Weiszfeld algorithm on inner products alone, since every iterate is a
    combination of the clients' DeltaW; at `lora.rank` in the end. Bears weights of attackers that
    add up to less than half. Ranks may differ.
    """

    Config = GeometricMedianConfig
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
        shares = torch.tensor(parts, dtype=torch.float64)
        found = weiszfeld(gram(adapters), shares, self.config.iterations)
        return replace(before, common=AdapterSpan(adapters).combine(found, before.common.spec))


def weiszfeld(inner: Tensor, shares: Tensor, iterations: int) -> Tensor:
    """Coefficients (n,) of the geometric median, given inner products (n, n) and weights (n,)."""
    weights = shares
    # A client may be the median: no distance counts as less than a millionth of the longest.
    least = 1e-6 * float(inner.diagonal().max().clamp_min(1e-300).sqrt())
    for _ in range(iterations):
        towards = inner @ weights
        squares = inner.diagonal() - 2 * towards + weights @ towards
        pull = shares / squares.clamp_min(0).sqrt().clamp_min(least)
        before, weights = weights, pull / pull.sum()
        if float((weights - before).abs().max()) < CONVERGED:
            break
    return weights
