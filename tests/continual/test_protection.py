"""Sketches and noise: what they keep, and what they hide."""

import math

import pytest
import torch

from fedlora.config import NoiseConfig
from fedlora.continual.noise import clipped, noise_scale, noisy, possible
from fedlora.continual.sketch import sketch, unsketch
from fedlora.continual.statistics import nothing
from fedlora.errors import FedloraError
from fedlora.privacy.chance import Seeded


def some(width=10):
    rng = torch.Generator().manual_seed(2)
    scales = torch.logspace(0, -2, width, dtype=torch.float64)
    return nothing(width).add(torch.randn(200, width, generator=rng, dtype=torch.float64) * scales)


def test_a_sketch_loses_what_it_says():
    statistics = some()
    factor, lost = sketch(statistics, 4)
    back = unsketch(factor, 10, statistics.count)
    trace = float(statistics.total.trace())
    assert lost == pytest.approx(1 - float(back.total.trace()) / trace, rel=1e-4)
    rest = torch.linalg.matrix_norm(statistics.total - back.total, 2)
    assert rest == pytest.approx(float(torch.linalg.eigvalsh(statistics.total)[5]), rel=1e-4)


def test_a_whole_sketch_loses_nothing():
    factor, lost = sketch(some(), 99)
    assert factor.shape == (10, 10)
    assert lost == 0
    assert torch.allclose(unsketch(factor, 10, 1).total, some().total, rtol=1e-4, atol=1e-4)


def test_a_strangers_sketch_is_checked():
    with pytest.raises(FedloraError, match="width 9"):
        unsketch(torch.zeros(3, 10), 9, 1)
    with pytest.raises(FedloraError, match="finite"):
        unsketch(torch.full((3, 10), math.inf), 10, 1)


def test_no_example_moves_the_statistics_by_more_than_the_clip():
    inputs = torch.randn(20, 7, 5, dtype=torch.float64) * torch.logspace(-2, 2, 20)[:, None, None]
    for example in clipped(inputs, 3.0):
        moved = nothing(5).add(example).total.norm()
        assert moved <= 3.0 + 1e-9
    small = inputs[:1]
    assert torch.equal(clipped(small, 1e6), small)


def test_the_scale_spends_the_budget_and_no_more():
    config = NoiseConfig(epsilon=2.0, delta=1e-5, clip=4.0)
    releases = 16
    rho = releases * config.clip**2 / (2 * noise_scale(config, releases) ** 2)
    spent = rho + 2 * math.sqrt(rho * math.log(1 / config.delta))
    assert spent == pytest.approx(2.0)
    assert noise_scale(config, 4) == pytest.approx(noise_scale(config, 16) / 2)


def test_noise_is_symmetric_of_the_stated_size_and_leaves_a_possible_sum():
    statistics = some(60)
    loud = noisy(statistics, 5.0, Seeded(1))
    drawn = loud.total - statistics.total
    assert torch.allclose(drawn, drawn.T)
    upper = drawn[tuple(torch.triu_indices(60, 60))]
    assert float(upper.std()) == pytest.approx(5.0, rel=0.1)
    assert torch.linalg.eigvalsh(loud.total).min() < 0
    assert torch.linalg.eigvalsh(possible(loud).total).min() > -1e-9
