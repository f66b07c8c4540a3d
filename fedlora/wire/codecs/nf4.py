"""Four bits a value at the quantiles of a normal distribution, one scale for 64 values."""

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.section import Section
from fedlora.wire.codecs.groups import Grouped

OFFSET = 0.9677083
"""Probability that the outermost quantile stands for, so that it is finite."""


def _levels() -> Tensor:
    """Sixteen levels from -1 to 1: seven below zero, zero itself, eight above.

    Quantiles of N(0, 1), divided by the largest (Dettmers et al. 2023, arXiv 2305.14314,
    equation 4 and appendix E).
    """
    quantile = torch.special.ndtri
    above = quantile(torch.linspace(OFFSET, 0.5, 9, dtype=torch.float64)[:-1])
    below = -quantile(torch.linspace(OFFSET, 0.5, 8, dtype=torch.float64)[:-1])
    zero = torch.zeros(1, dtype=torch.float64)
    levels: Tensor = torch.cat([below, zero, above.flip(0)]) / above.max()
    return levels.float()


LEVELS = _levels()


class Nf4Config(Section):
    """No options."""


class Nf4(Grouped):
    """The nearest of sixteen levels of NF4, in units of the largest of the group.

    4.25 bits a value, scales included. Bound: half the widest gap between levels, .152 of the
    scale, and the rounding of the scale.
    """

    Config = Nf4Config
    worst: ClassVar[float] = float(LEVELS.diff().max()) / 2 + 2**-8

    @override
    def scale(self, largest: Tensor) -> Tensor:
        return largest

    @override
    def codes(self, ratios: Tensor) -> Tensor:
        edges = (LEVELS[1:] + LEVELS[:-1]) / 2
        return torch.bucketize(ratios.contiguous(), edges).to(torch.uint8)

    @override
    def ratios(self, codes: Tensor) -> Tensor:
        return LEVELS[codes.long()]
