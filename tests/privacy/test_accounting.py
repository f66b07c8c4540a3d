"""Noise for a budget: enough, and hardly more."""

import math

import pytest

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


def test_a_single_whole_step_costs_what_a_gaussian_release_costs():
    """At rate 1 a step is a plain release of sensitivity 1, whose zCDP bound is known."""
    noise = gaussian_scale(Budget(epsilon=2.0), 1.0)
    assert epsilon(noise, [Steps(1.0, 1)], 1e-5) <= 2.0 * 1.01
    rho = 1 / (2 * noise**2)
    assert rho + 2 * math.sqrt(rho * math.log(1e5)) == pytest.approx(2.0)


def test_more_rounds_need_more_noise_and_absurd_budgets_are_named():
    budget = Budget(epsilon=2.0)
    few, many = (noise_multiplier(budget, [Steps(0.1, n)]) for n in (50, 200))
    assert many > few
    with pytest.raises(FedloraError, match=r"privacy\.examples\.epsilon=1e-06: too little"):
        noise_multiplier(ExamplePrivacy(epsilon=1e-6), [Steps(1.0, 1000)])
