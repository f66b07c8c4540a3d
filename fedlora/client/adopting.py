"""A newcomer settles on an adapter out of what it was offered."""

from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Offer
from fedlora.adoption.gate import refine_if_it_helps
from fedlora.client.few_labels import FewLabels
from fedlora.client.workplace import Workplace
from fedlora.config import AdoptionConfig


def settle(place: Workplace, adoption: AdoptionConfig, offer: Offer) -> tuple[LoraAdapter, bool]:
    """The adapter that is used, and whether it was refined.

    Raises:
        FedloraError: the offer is not one of the policy's.
    """
    trial = FewLabels(place, adoption)
    chosen = adoption.policy.build().choose(offer, trial)
    used = chosen
    if adoption.refine == "always":
        used = trial.refine(chosen)
    elif adoption.refine == "gated":
        used = refine_if_it_helps(chosen, trial, place.purpose("gate"))
    return used, used is not chosen
