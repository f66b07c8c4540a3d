"""A method's adapter near the bank, and the nearest task's or the warm start beyond it."""

from typing import Literal

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Hand, Offer, Policy, Trial
from fedlora.adoption.offers import only
from fedlora.section import Section

FOREIGN = "foreign"
"""The name of what a task is offered that the bank does not reach."""


class GuardedConfig(Section):
    """Which method serves where the bank reaches, and what is given elsewhere."""

    method: str = Field("generated", description="generated, grown, or one of the baselines")
    otherwise: Literal["nearest", "warm"] = "nearest"
    beyond: float = Field(
        1.0, gt=0, description="in what 95 % of the bank's tasks lie from their nearest at most"
    )


class Guarded(Policy):
    """A task is foreign where its nearest in the bank is more than `beyond` times as far as that.

    Distances are squared ones of task vectors. The offered adapter is named after what it is, so
    the newcomer is told: by the method, or `foreign`; how far its task lies is told in any case.
    """

    Config = GuardedConfig
    needs_neighbours = True

    @property
    @override
    def methods(self) -> tuple[str, ...]:
        own = (str(self.config.method),)
        return (*own, "warm") if self.config.otherwise == "warm" else own

    @property
    @override
    def title(self) -> str:
        return f"{self.config.method}_guarded"

    @override
    def offer(self, hand: Hand) -> Offer:
        nearest = hand.nearest(1)[0]
        if nearest.distance <= self.config.beyond * hand.reach():
            name, given = self.config.method, hand.method(self.config.method, 0)
        else:
            warm = self.config.otherwise == "warm"
            name, given = FOREIGN, hand.method("warm", 0) if warm else nearest.adapter
        return Offer({name: given}, {name: nearest.distance})

    @override
    def choose(self, offer: Offer, trial: Trial) -> LoraAdapter:
        return only(offer)
