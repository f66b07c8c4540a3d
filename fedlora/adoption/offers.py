"""What a newcomer asks of an offer before it uses it."""

from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Offer
from fedlora.errors import FedloraError


def some(offer: Offer) -> dict[str, LoraAdapter]:
    """The offered adapters.

    Raises:
        FedloraError: there is none.
    """
    if not offer.adapters:
        raise FedloraError("offer without an adapter")
    return dict(offer.adapters)


def only(offer: Offer) -> LoraAdapter:
    """The one offered adapter.

    Raises:
        FedloraError: there is none, or another one beside it.
    """
    adapters = list(some(offer).values())
    if len(adapters) > 1:
        raise FedloraError(f"offer of {len(adapters)} adapters, where one was to be given")
    return adapters[0]
