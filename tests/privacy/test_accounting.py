"""Noise for a budget: enough, and hardly more."""

import math

import pytest
from scipy import optimize, stats

from fedlora.config.privacy import Budget, ExamplePrivacy
from fedlora.errors import FedloraError
from fedlora.privacy.accounting import Steps, epsilon, gaussian_scale, noise_multiplier


def test_the_noise_spends_the_budget_and_no_more():
    phases = (Steps(0.1, 80), Steps(0.25, 40))
    for wanted in (1.0, 8.0):
        noise = noise_multiplier(Budget(epsilon=wanted), phases)
        spent = epsilon(noise, phases, 1e-5)
        assert 0.98 * wanted < spent <= wanted
    assert epsilon(1.0, (), 1e-5) == 0


def delta_of(noise: float, spent: float) -> float:
    """The least delta of one Gaussian release of sensitivity 1 at an epsilon, exactly.

    Balle and Wang 2018, arXiv 1805.06530, theorem 8.
    """
    near, far = 1 / (2 * noise) - spent * noise, -1 / (2 * noise) - spent * noise
    return float(stats.norm.cdf(near) - math.exp(spent) * stats.norm.cdf(far))


def least_epsilon(noise: float, delta: float) -> float:
    return float(optimize.brentq(lambda spent: delta_of(noise, spent) - delta, 1e-6, 50.0))


@pytest.mark.parametrize("noise", [1.0, 2.5, 8.0])
def test_whole_steps_cost_what_a_gaussian_release_costs(noise: float):
    """At rate 1 a step is a plain release, and n of them are one of sqrt(n) times less noise."""
    least = least_epsilon(noise, 1e-5)
    assert least <= epsilon(noise, [Steps(1.0, 1)], 1e-5) <= 1.12 * least
    many = least_epsilon(noise / 3, 1e-5)
    assert many <= epsilon(noise, [Steps(1.0, 4), Steps(1.0, 5)], 1e-5) <= 1.12 * many


def test_a_release_keeps_its_budget_and_wastes_little_of_it():
    budget = Budget(epsilon=2.0)
    one, of_four = gaussian_scale(budget, 1.0), gaussian_scale(budget, 1.0, 4)
    assert 0.75 * 2.0 < least_epsilon(one, budget.delta) <= 2.0
    assert of_four == pytest.approx(2 * one)
    assert gaussian_scale(budget, 3.0) == pytest.approx(3 * one)
    rho = 1 / (2 * one**2)
    assert rho + 2 * math.sqrt(rho * math.log(1e5)) == pytest.approx(2.0)


def test_more_rounds_need_more_noise_and_absurd_budgets_are_named():
    budget = Budget(epsilon=2.0)
    few, many = (noise_multiplier(budget, [Steps(0.1, n)]) for n in (50, 200))
    assert many > few
    with pytest.raises(FedloraError, match=r"privacy\.examples\.epsilon=1e-06: too little"):
        noise_multiplier(ExamplePrivacy(epsilon=1e-6), [Steps(1.0, 1000)])
