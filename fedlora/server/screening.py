"""What an adapter must be before it counts: of the right place, and of a believable size."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.place import check_place
from fedlora.adapter.product import norm
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
    size = norm(adapter)
    # Negated, so that a norm of NaN would be refused as well.
    if not size <= max_norm:
        raise FedloraError(f"adapter of norm {size:.4g}, more than rounds.max_norm={max_norm:g}")
    for name, factor in (("down", adapter.down), ("up", adapter.up)):
        square, values = squared(factor), sum(value.numel() for value in factor.values())
        if not square <= max(max_norm**2, values):
            raise FedloraError(
                f"adapter whose factors '{name}' have the norm {math.sqrt(square):.4g}, more than"
                f" rounds.max_norm={max_norm:g}"
            )


def squared(factor: Mapping[str, Tensor]) -> float:
    """Sum of the squares of all values of all layers."""
    return float(sum(torch.sum(value.double() ** 2) for value in factor.values()))
