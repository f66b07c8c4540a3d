"""Whichever method serves the bank's own tasks best, each left out in turn."""

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Hand, Offer, Policy, Trial
from fedlora.adoption.offers import only
from fedlora.section import Section

CHOSEN = "chosen"
"""The name under which a hand holds the method that won."""


class ChosenConfig(Section):
    """Which methods are tried, and by whom; of equals, the method named first serves."""

    among: tuple[str, ...] | None = Field(
        None, min_length=1, description="methods of the table; all that the run learns when absent"
    )
    folds: int = Field(
        4, ge=2, description="fits of every method, each without a share of the tasks tried"
    )
    clients: int = Field(64, ge=2, description="of the bank that try them, at most; drawn by seed")


class Chosen(Policy):
    """The newcomer gets the adapter of one method, which a trial on the bank has chosen.

    The trial is the server's, before it serves; the bank's clients try what each method makes for
    their tasks: see `fedlora.server.trial`.
    """

    Config = ChosenConfig

    @property
    @override
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.config.among or ()))

    @property
    @override
    def title(self) -> str:
        return CHOSEN

    @override
    def offer(self, hand: Hand) -> Offer:
        return Offer({CHOSEN: hand.method(CHOSEN, 0)})

    @override
    def choose(self, offer: Offer, trial: Trial) -> LoraAdapter:
        return only(offer)
