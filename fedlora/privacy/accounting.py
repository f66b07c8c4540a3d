"""How much noise a privacy budget asks for."""

import math
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


def epsilon(noise: float, phases: Sequence[Steps], delta: float) -> float:
    """What so many noisy steps spend together (Renyi accountant of Opacus, arXiv 1908.10530).

    noise: standard deviation of the noise over the most that what is protected adds to a step.
    """
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(noise, phase.rate, phase.number) for phase in phases if phase.number]
    return float(accountant.get_epsilon(delta)) if accountant.history else 0.0


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
    log = math.log(1 / budget.delta)
    rho = (math.sqrt(log + budget.epsilon) - math.sqrt(log)) ** 2
    return sensitivity / math.sqrt(2 * rho / releases)
