"""As far out as no honest update is from another."""

from itertools import combinations

from torch import Tensor
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance
from fedlora.attacks.contract import Attack, Sight
from fedlora.attacks.update import Disguise, moved, shared, updates

STEPS = 30
"""Halvings in the search for gamma: it is found to a billionth."""


class MinMaxConfig(Disguise):
    """No options but those of a disguise."""


class MinMax(Attack):
    """mean - gamma std, gamma the largest for which it is no further from any of the attackers'
    honest updates than two of these are from each other (Shejwalkar and Houmansadr, NDSS 2021,
    equation 6, with the inverse standard deviation as the direction).

    Distances are of DeltaW, which defences measure; gamma is searched for as in the paper's
    algorithm 1.
    """

    Config = MinMaxConfig
    colludes = True

    @override
    def adapter(self, sight: Sight) -> LoraAdapter:
        known = updates(sight)
        mean, direction = known.mean(0), -known.std(0)
        if not float(direction.norm()):
            return shared(sight, mean, self.config.apart)
        gamma = _largest(sight, mean, direction)
        return shared(sight, mean + gamma * direction, self.config.apart)


def _largest(sight: Sight, mean: Tensor, direction: Tensor) -> float:
    """Gamma; 0 where the mean itself is too far from one of them."""
    widest = max(distance(a, b) for a, b in combinations(sight.known, 2))

    def hides(gamma: float) -> bool:
        made = moved(sight.start, mean + gamma * direction)
        return all(distance(made, honest) <= widest for honest in sight.known)

    within, beyond = 0.0, 1.0
    while hides(beyond):
        within, beyond = beyond, 2 * beyond
    for _ in range(STEPS):
        middle = (within + beyond) / 2
        within, beyond = (middle, beyond) if hides(middle) else (within, middle)
    return within
