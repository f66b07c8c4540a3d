"""The median of every entry of DeltaW."""

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import Aggregator, State
from fedlora.aggregation.coordinates import by_coordinate
from fedlora.aggregation.suspects import counted
from fedlora.section import Section


class MedianConfig(Section):
    """No options."""


class Median(Aggregator):
    """Coordinate-wise median (Yin et al. 2018, arXiv 1803.01498) of DeltaW, not of its factors.

    Bears f < n / 2. Weights above zero do not matter. Ranks may differ.
    """

    Config = MedianConfig
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
        return by_coordinate(before, counted(sent, weights)[0], median)


def median(values: Tensor) -> Tensor:
    """Over the first axis; the mean of the two in the middle where these are two."""
    ordered, n = values.sort(0).values, len(values)
    return torch.as_tensor((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)
