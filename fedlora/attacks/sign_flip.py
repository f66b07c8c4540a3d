"""The opposite of what training says."""

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.attacks.contract import Attack, Sight
from fedlora.attacks.update import moved, update
from fedlora.section import Section


class SignFlipConfig(Section):
    """factor: how far in the opposite direction, in lengths of the honest update."""

    factor: float = Field(1.0, gt=0)


class SignFlip(Attack):
    """w_start - factor (w - w_start), value by value (Li et al. 2019, arXiv 1811.03761)."""

    Config = SignFlipConfig

    @override
    def adapter(self, sight: Sight) -> LoraAdapter:
        return moved(sight.start, -self.config.factor * update(sight.honest, sight.start))
