"""One adapter, used as it comes."""

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Hand, Offer, Policy, Trial
from fedlora.adoption.offers import only
from fedlora.section import Section


class GivenConfig(Section):
    """Which method of the table serves."""

    method: str = Field("generated", description="generated, warm, grown, or one of the baselines")


class Given(Policy):
    """The newcomer gets the adapter of one method: a task vector up, an adapter down."""

    Config = GivenConfig

    @property
    @override
    def methods(self) -> tuple[str, ...]:
        return (str(self.config.method),)

    @property
    @override
    def title(self) -> str:
        return str(self.config.method)

    @override
    def offer(self, hand: Hand) -> Offer:
        return Offer({self.title: hand.method(self.title, 0)})

    @override
    def choose(self, offer: Offer, trial: Trial) -> LoraAdapter:
        return only(offer)
