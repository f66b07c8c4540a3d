"""Updates: by what values an adapter differs from its start, in one shared choice of factors."""

from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.errors import FedloraError


def update(adapter: LoraAdapter, start: LoraAdapter) -> Tensor:
    """w - w_start, (n,) float64.

    Raises:
        FedloraError: the two are of different ranks.
    """
    if adapter.spec != start.spec:
        raise FedloraError("attackers.attack: needs a method of aggregation that keeps ranks")
    return adapter.flatten().double() - start.flatten().double()


def moved(start: LoraAdapter, by: Tensor) -> LoraAdapter:
    """w_start + by, (n,)."""
    return LoraAdapter.from_flat(start.spec, (start.flatten().double() + by).float())
