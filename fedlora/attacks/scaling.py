"""One client's update made so long that the average becomes its own."""

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.attacks.contract import Attack, Sight
from fedlora.attacks.update import moved, update
from fedlora.section import Section


class ScalingConfig(Section):
    """boost: in lengths of the honest update; clients / attackers when absent, so that the mean of
    all becomes the attackers' own where the others' updates cancel (model replacement).
    """

    boost: float | None = Field(None, gt=0)


class Scaling(Attack):
    """w_start + boost (w - w_start) (Bagdasaryan et al. 2020, arXiv 1807.00459, equation 3)."""

    Config = ScalingConfig

    @override
    def adapter(self, sight: Sight) -> LoraAdapter:
        return moved(
            sight.start, boost_of(self.config.boost, sight) * update(sight.honest, sight.start)
        )


def boost_of(boost: float | None, sight: Sight) -> float:
    """The boost that was asked for, or the one that replaces the average."""
    return sight.clients / sight.attackers if boost is None else boost
