"""Whichever way serves the bank's own tasks best, each left out in turn."""

from typing import Any

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Hand, Offer, Policy, Trial
from fedlora.adoption.label_mix import LabelMix, LabelMixConfig
from fedlora.adoption.offers import only
from fedlora.section import Section

CHOSEN = "chosen"
"""The name under which a hand holds the method that won."""
MIX = LabelMix.__module__.rpartition(".")[2]
"""What a mix by the newcomer's labels is called where it is tried beside methods."""


class ChosenConfig(Section):
    """What is tried, and by whom; of equals, what is named first serves."""

    among: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="methods of the table; all that the run learns when absent",
    )
    mix: bool = Field(
        False, description="whether label_mix is tried beside them, which newcomers need labels for"
    )
    folds: int = Field(
        4, ge=2, description="fits of every method, each without a share of the tasks tried"
    )
    clients: int = Field(24, ge=2, description="of the bank that try them, at most; drawn by seed")


class Chosen(Policy):
    """The newcomer gets what a trial on the bank has chosen: a method's adapter, or a mix's parts.

    The trial is the server's, before it serves; the bank's clients try what each method makes for
    their tasks, and mix with labels of their own: see `fedlora.server.trial`.
    """

    Config = ChosenConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.mix = LabelMix(LabelMixConfig()) if config.mix else None
        self.needs_labels = self.needs_neighbours = self.mix is not None

    @property
    @override
    def methods(self) -> tuple[str, ...]:
        mixed = self.mix.methods if self.mix else ()
        return tuple(dict.fromkeys([*self.config.among, *mixed])) if self.config.among else ()

    @property
    @override
    def title(self) -> str:
        return CHOSEN

    @property
    @override
    def adapters(self) -> int:
        return self.mix.adapters if self.mix and self.needs_labels else 1

    def serving(self, won: str) -> tuple[str, ...]:
        """Methods that are needed to serve with what won."""
        return self.mix.methods if self.mix and won == MIX else (won,)

    def unlabelled(self) -> "Chosen":
        """As it is for a newcomer that has no labels: in place of a mix its own method serves."""
        blind = Chosen(self.config)
        blind.needs_labels = blind.needs_neighbours = False
        return blind

    @override
    def offer(self, hand: Hand) -> Offer:
        if self.mix is None or hand.chosen != MIX:
            return Offer({CHOSEN: hand.method(CHOSEN, 0)})
        if self.needs_labels:
            return self.mix.offer(hand)
        return Offer({CHOSEN: hand.method(self.mix.methods[0], 0)})

    @override
    def choose(self, offer: Offer, trial: Trial) -> LoraAdapter:
        if self.mix and CHOSEN not in offer.adapters:
            return self.mix.choose(offer, trial)
        return only(offer)
