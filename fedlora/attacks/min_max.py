"""As far out as no honest update is from another."""

import torch
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.attacks.contract import Attack, Sight
from fedlora.attacks.update import Disguise, shared, updates


class MinMaxConfig(Disguise):
    """No options but those of a disguise."""


class MinMax(Attack):
    """mean - gamma std, gamma the largest for which it is no further from any of the attackers'
    honest updates than two of these are from each other (Shejwalkar and Houmansadr, NDSS 2021,
    equation 6, with the inverse standard deviation as the direction).

    The paper searches for gamma; here it is the root of |mean - gamma std - x_i|^2 = D^2, for the
    x_i that gives the least.
    """

    Config = MinMaxConfig
    colludes = True

    @override
    def adapter(self, sight: Sight) -> LoraAdapter:
        known = updates(sight)
        mean, direction = known.mean(0), -known.std(0)
        widest = torch.cdist(known, known).max()
        # a gamma^2 + 2 b gamma + c = 0 for each honest update; c <= 0, so one root is not negative.
        a = direction.square().sum()
        if float(a) == 0:
            return shared(sight, mean, self.config.apart)
        b = (mean - known) @ direction
        c = (mean - known).square().sum(1) - widest**2
        gamma = ((-b + (b**2 - a * c).clamp_min(0).sqrt()) / a).min()
        return shared(sight, mean + gamma * direction, self.config.apart)
