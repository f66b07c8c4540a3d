"""Noise that nobody can repeat, and noise that a seed repeats."""

import math

import pytest
import torch
from scipy import stats

from fedlora.privacy.chance import Entropy, Seeded, chance_of


def test_entropy_draws_a_normal_distribution():
    drawn = Entropy().normal((3, 33_333)).flatten()
    assert drawn.shape == (99_999,)
    assert drawn.dtype == torch.float64
    assert stats.kstest(drawn.numpy(), "norm").pvalue > 1e-6
    assert abs(torch.corrcoef(torch.stack([drawn[:-1], drawn[1:]]))[0, 1]) < 0.03
    halves = drawn[:99_998].view(2, -1)  # a pair comes of the same two numbers
    assert abs(torch.corrcoef(halves)[0, 1]) < 0.03
    assert abs(torch.corrcoef(halves.square())[0, 1]) < 0.03


def test_entropy_draws_shares_of_a_whole():
    drawn = Entropy().uniform(100_000)
    assert stats.kstest(drawn.numpy(), "uniform").pvalue > 1e-6
    assert 0 <= drawn.min() < drawn.max() < 1


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3, 5)])
def test_every_shape_can_be_drawn(shape):
    for chance in (Entropy(), Seeded(3)):
        drawn = chance.normal(shape, torch.float32)
        assert drawn.shape == shape
        assert drawn.dtype == torch.float32
        assert drawn.isfinite().all()


def test_a_seed_repeats_and_entropy_does_not():
    assert torch.equal(chance_of(7, True).normal((4,)), chance_of(7, True).normal((4,)))
    assert not torch.equal(chance_of(7, False).normal((4,)), chance_of(7, False).normal((4,)))
    assert math.isclose(float(Seeded(0).uniform(9).sum()), float(Seeded(0).uniform(9).sum()))


def test_noise_without_a_seed_does_not_come_from_one_of_torchs(monkeypatch):
    monkeypatch.setattr(torch, "Generator", lambda *_: pytest.fail("a seed can be guessed"))
    monkeypatch.setattr(torch, "randn", lambda *_, **__: pytest.fail("a seed can be guessed"))
    chance_of(7, False).normal((4,))
