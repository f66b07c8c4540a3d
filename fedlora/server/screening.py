"""What an adapter must be before it counts: of the right place, and of a believable size."""

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.place import check_place
from fedlora.adapter.product import norm
from fedlora.errors import FedloraError


def screen(adapter: LoraAdapter, spec: AdapterSpec, max_norm: float) -> None:
    """Refuse an adapter that cannot belong among those of `spec`.

    The Frobenius norm of DeltaW over all layers and the head is bounded in product space, where
    no rescaling of the factors can hide it.

    Raises:
        FedloraError: it belongs to another place, or its norm is over the limit.
    """
    check_place(adapter.spec, spec)
    size = norm(adapter)
    # Negated, so that a norm of NaN would be refused as well.
    if not size <= max_norm:
        raise FedloraError(f"adapter of norm {size:.4g}, more than rounds.max_norm={max_norm:g}")
