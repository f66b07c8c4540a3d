"""One contribution, sent again and again under many names."""

from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.attacks.contract import Attack, Sight
from fedlora.section import Section


class ReplayConfig(Section):
    """No options."""


class Replay(Attack):
    """Every attacker sends what the first of them trained: one client with the weight of many.

    The Sybil attack of Fung et al. 2018 (arXiv 1808.04866), here with an honest adapter.
    """

    Config = ReplayConfig
    colludes = True

    @override
    def adapter(self, sight: Sight) -> LoraAdapter:
        return sight.known[0]
