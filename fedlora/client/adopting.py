"""A newcomer settles on an adapter out of what it was offered."""

import math

import torch

from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Offer, Policy
from fedlora.adoption.gate import refine_if_it_helps
from fedlora.client.few_labels import FewLabels
from fedlora.client.workplace import Workplace
from fedlora.config import AdoptionConfig
from fedlora.errors import FedloraError
from fedlora.wire.message import Message


def offered(place: Workplace, policy: Policy, message: Message) -> Offer:
    """The offer that a message carries.

    Raises:
        FedloraError: it holds more than the policy offers, an adapter that does not fit, or no
            distances of its own.
    """
    names = [name.removeprefix("adapter.") for name in message.tensors]
    if len(names) > policy.adapters:
        raise FedloraError(
            f"offer of {len(names)} adapters, where {policy.title} has {policy.adapters} at most"
        )
    distances = message.meta.get("distances")
    if not isinstance(distances, dict) or not all(
        name in names and isinstance(value, float) and value >= 0
        for name, value in distances.items()
    ):
        raise FedloraError("message lacks the distances of its offer")
    error = message.meta.get("error")
    if error is not None and not (isinstance(error, float) and 0 <= error < math.inf):
        raise FedloraError(f"message foretells an error of {error!a:.40}")
    return Offer({name: place.read(message, name) for name in names}, distances, error)


def settle(place: Workplace, adoption: AdoptionConfig, offer: Offer) -> tuple[LoraAdapter, bool]:
    """The adapter that is used, and whether it was refined.

    Raises:
        FedloraError: the offer is not one of the policy's.
    """
    trial = FewLabels(place, adoption)
    chosen = adoption.policy.build().choose(offer, trial)
    used = chosen
    if adoption.refine == "always":
        (used,) = trial.refine(chosen, [torch.arange(trial.examples)])
    elif adoption.refine == "gated":
        used = refine_if_it_helps(chosen, trial, place.purpose("gate"))
    return used, used is not chosen
