"""Several draws of the generator; the newcomer keeps the one that fits its labels best."""

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Hand, Offer, Policy, Trial
from fedlora.adoption.offers import some
from fedlora.section import Section


class BestOfConfig(Section):
    """Each draw is one adapter down."""

    samples: int = Field(8, ge=2, le=32)


class BestOf(Policy):
    """argmin over the draws of the mean loss on the newcomer's labels; the first of equals."""

    Config = BestOfConfig
    needs_draws = True
    needs_labels = True

    @property
    @override
    def methods(self) -> tuple[str, ...]:
        return ("generated",)

    @property
    @override
    def title(self) -> str:
        return f"best_of_{self.config.samples}"

    @property
    @override
    def adapters(self) -> int:
        return int(self.config.samples)

    @override
    def offer(self, hand: Hand) -> Offer:
        draws = range(self.config.samples)
        return Offer({f"draw{draw}": hand.method("generated", draw) for draw in draws})

    @override
    def choose(self, offer: Offer, trial: Trial) -> LoraAdapter:
        return min(some(offer).values(), key=lambda one: trial.score(one).loss)
