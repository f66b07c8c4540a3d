"""A little is enough: the most that hides in the spread of honest updates."""

from statistics import NormalDist

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.attacks.contract import Attack, Sight
from fedlora.attacks.update import Disguise, shared, updates


class LieConfig(Disguise):
    """z: how many standard deviations from the mean; by the paper's rule when absent."""

    z: float | None = Field(None, gt=0)


class Lie(Attack):
    """mean - z std of the attackers' honest updates (Baruch et al. 2019, arXiv 1902.06156).

    Of n clients of whom m attack, s = floor(n / 2 + 1) - m honest ones are to be further from the
    mean than the attackers: z is the normal quantile of (n - m - s) / (n - m) (algorithm 3), and
    at least 0.3 where that is less. All attackers send the same, but for what keeps them `apart`.
    """

    Config = LieConfig
    colludes = True

    @override
    def adapter(self, sight: Sight) -> LoraAdapter:
        known = updates(sight)
        z = quantile(sight.clients, sight.attackers) if self.config.z is None else self.config.z
        return shared(sight, known.mean(0) - z * known.std(0), self.config.apart)


def quantile(clients: int, attackers: int) -> float:
    """z_max of algorithm 3."""
    supporters = clients // 2 + 1 - attackers
    honest = clients - attackers
    share = (honest - supporters) / honest
    return max(NormalDist().inv_cdf(min(share, 0.999)) if share > 0 else 0.0, 0.3)
