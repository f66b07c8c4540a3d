"""The mean of every entry of DeltaW without the extremes."""

from collections.abc import Sequence

from torch import Tensor
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import State
from fedlora.aggregation.coordinates import by_coordinate
from fedlora.aggregation.suspects import SuspectsConfig, Suspicious, counted


class TrimmedMeanConfig(SuspectsConfig):
    """As many are left out at each end."""


class TrimmedMean(Suspicious):
    """Coordinate-wise trimmed mean (Yin et al. 2018, arXiv 1803.01498) of DeltaW.

    n >= 2 f + 1. Weights above zero do not matter. Ranks may differ.
    """

    Config = TrimmedMeanConfig
    mixed_ranks = True
    new_factors = True
    title = "trimmed_mean"
    bears = (2, 1)

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        adapters, _ = counted(sent, weights)
        n = len(adapters)
        cut = self.attackers(before, n)

        def rule(values: Tensor) -> Tensor:
            return values.sort(0).values[cut : n - cut].mean(0)

        return by_coordinate(before, adapters, rule)
