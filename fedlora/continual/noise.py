"""Gaussian noise on the statistics: how much of it a stated privacy budget asks for."""

import torch
from torch import Tensor

from fedlora.config import NoiseConfig
from fedlora.continual.statistics import Statistics
from fedlora.privacy.accounting import gaussian_scale
from fedlora.privacy.chance import Chance


def clipped(inputs: Tensor, clip: float) -> Tensor:
    """Inputs (n, tokens, d) with each example's sum of squares brought down to `clip` at most.

    ||sum of x x^T||_F <= sum of ||x||^2, so no example moves the statistics by more than `clip`.
    """
    squares = inputs.square().sum(dim=(1, 2), keepdim=True)
    return inputs * (clip / squares.clamp_min(1e-30)).clamp_max(1).sqrt()


def noise_scale(config: NoiseConfig, releases: int) -> float:
    """Standard deviation of the noise on each value, for `releases` of one example's statistics.

    The mechanism on second moments is that of Dwork et al. 2014, "Analyze Gauss".
    """
    return gaussian_scale(config, config.clip, releases)


def noisy(statistics: Statistics, scale: float, chance: Chance) -> Statistics:
    """With symmetric Gaussian noise; every value of the upper triangle gets its own.

    The count of tokens stays exact: nothing that is designed depends on it.
    """
    drawn = chance.normal(statistics.total.shape) * scale
    upper = drawn.triu()
    return Statistics(statistics.total + upper + upper.triu(1).T, statistics.count)


def possible(statistics: Statistics) -> Statistics:
    """The nearest sum of x x^T: directions that noise made negative are set to zero."""
    values, vectors = torch.linalg.eigh(statistics.total)
    return Statistics((vectors * values.clamp_min(0)) @ vectors.T, statistics.count)
