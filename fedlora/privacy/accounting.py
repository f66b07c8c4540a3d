"""How much noise a privacy budget asks for."""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from fedlora.config.privacy import Budget
from fedlora.errors import FedloraError

_MOST = 1e4
"""Noise beyond which nothing is learned any more."""


class Steps(NamedTuple):
    """Noisy steps in which what is protected takes part with a probability of `rate`."""

    rate: float
    number: int


class Noisy(NamedTuple):
    """Steps with the standard deviation of their noise, over the most that one counts in them."""

    noise: float
    steps: Steps


def epsilon(noise: float, phases: Sequence[Steps], delta: float) -> float:
    """What so many noisy steps spend together.

    noise: standard deviation of the noise over the most that what is protected adds to a step.
    """
    return composed([Noisy(noise, phase) for phase in phases], delta)


def composed(history: Sequence[Noisy], delta: float) -> float:
    """What steps of different noise spend (Renyi accountant of Opacus, arXiv 1908.10530)."""
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [
        (noise, steps.rate, steps.number) for noise, steps in history if steps.number
    ]
    if not accountant.history:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that another order might bound it closer: it is a bound
        return float(accountant.get_epsilon(delta))


def noise_multiplier(budget: Budget, phases: Sequence[Steps]) -> float:
    """The least noise, to a thousandth, that keeps all phases together within the budget.

    Raises:
        FedloraError: no noise that still lets anything be learned does.
    """
    low, high = 0.0, 1.0
    while epsilon(high, phases, budget.delta) > budget.epsilon:
        low, high = high, 2 * high
        if high > _MOST:
            raise FedloraError(
                f"{budget.key}.epsilon={budget.epsilon:g}: too little for so many steps;"
                " raise it, or train for fewer epochs or rounds"
            )
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        if epsilon(middle, phases, budget.delta) > budget.epsilon:
            low = middle
        else:
            high = middle
    return high


def gaussian_scale(budget: Budget, sensitivity: float, releases: int = 1) -> float:
    """Standard deviation of the noise on each value, for so many releases of one sum or mean.

    A release of L2 sensitivity s with noise sigma is s^2 / (2 sigma^2)-zCDP, releases add up, and
    rho-zCDP is (rho + 2 sqrt(rho ln(1 / delta)), delta)-DP (Bun and Steinke 2016, arXiv
    1605.02065, propositions 1.6, 1.3 and lemma 2.3).
    """
    return sensitivity / math.sqrt(2 * _rho(budget) / releases)


def gaussian_epsilon(budget: Budget, released: int, releases: int) -> float:
    """What so many of the releases have spent that `gaussian_scale` was asked for."""
    rho = _rho(budget) * released / releases
    return rho + 2 * math.sqrt(rho * math.log(1 / budget.delta))


def _rho(budget: Budget) -> float:
    """The zCDP that a budget allows."""
    log = math.log(1 / budget.delta)
    return (math.sqrt(log + budget.epsilon) - math.sqrt(log)) ** 2
