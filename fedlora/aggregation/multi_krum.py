"""The mean of those that are closest to their neighbours."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adapter.span import AdapterSpan
from fedlora.aggregation.contract import State, shares
from fedlora.aggregation.krum_scores import krum_scores, squared_distances
from fedlora.aggregation.suspects import SuspectsConfig, Suspicious, at_most, counted


class MultiKrumConfig(SuspectsConfig):
    """keep: how many are averaged; all but the suspects when absent."""

    keep: int | None = Field(None, ge=1)


class MultiKrum(Suspicious):
    """Multi-Krum (Blanchard et al. 2017, arXiv 1703.02757, section 4) on DeltaW.

    n >= 2 f + 3. Those that are kept are averaged by their weights, at `lora.rank`; how many were
    not is reported as `left_out`. Ranks may differ.
    """

    Config = MultiKrumConfig
    mixed_ranks = True
    new_factors = True
    title = "multi_krum"
    bears = (2, 3)

    @override
    def misfit(self, asked: int) -> str | None:
        most = asked - at_most(self.config.share, asked)
        if self.config.keep is not None and self.config.keep > most:
            return (
                f"warm_start.aggregation.keep={self.config.keep}: of n={asked} clients at most"
                f" n-f={most} are kept; lower it"
            )
        return super().misfit(asked)

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        adapters, parts = counted(sent, weights)
        n = len(adapters)
        attackers = self.attackers(before, n)
        keep = min(self.config.keep or n - attackers, n)
        chosen = list(range(n))
        if keep < n:
            scores = krum_scores(squared_distances(adapters), attackers)
            chosen = sorted(torch.argsort(scores, stable=True)[:keep].tolist())
        mean = torch.tensor(shares([parts[at] for at in chosen]), dtype=torch.float64)
        common = AdapterSpan([adapters[at] for at in chosen]).combine(mean, before.common.spec)
        return replace(before, common=common, report={"left_out": float(n - keep)})
