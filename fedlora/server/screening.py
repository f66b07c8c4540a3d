"""What an adapter must be before it counts: of the right place, and of a believable size."""

import math

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.grams import Grams
from fedlora.adapter.place import check_place
from fedlora.errors import FedloraError


def screen(adapter: LoraAdapter, spec: AdapterSpec, max_norm: float) -> None:
    """Refuse an adapter that cannot belong among those of `spec`.

    The Frobenius norm of DeltaW over all layers and the head is bounded in product space, where
    no rescaling of the factors can hide it. The factors are bounded as well, since where they are
    averaged one by one, (k up, down / k) is no longer the same as (up, down): all `up` together,
    and all `down`, have a norm of at most `max_norm`, or values of mean square 1.

    Raises:
        FedloraError: it belongs to another place, or a norm is over the limit.
    """
    check_place(adapter.spec, spec)
    grams = Grams.of([adapter])
    size = float(grams.norms())
    # Negated, so that a norm of NaN would be refused as well.
    if not size <= max_norm:
        raise FedloraError(f"adapter of norm {size:.4g}, more than rounds.max_norm={max_norm:g}")
    up, down = map(float, grams.factor_norms())
    for name, length, factor in (("down", down, adapter.down), ("up", up, adapter.up)):
        values = sum(value.numel() for value in factor.values())
        if not length <= max(max_norm, math.sqrt(values)):
            raise FedloraError(
                f"adapter whose factors '{name}' have the norm {length:.4g}, more than"
                f" rounds.max_norm={max_norm:g}"
            )
