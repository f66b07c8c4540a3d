"""Updates: by what values an adapter differs from its start, in one shared choice of factors."""

import torch
from pydantic import Field
from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.attacks.contract import Sight
from fedlora.errors import FedloraError
from fedlora.section import Section


class Disguise(Section):
    """apart: length of noise of its own that each attacker adds, in lengths of the shared update.

    Without it all attackers send the same, which screening knows for copies.
    """

    apart: float = Field(0.0, ge=0)


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


def updates(sight: Sight) -> Tensor:
    """Of the attackers, had they been honest: (m, n) float64."""
    return torch.stack([update(adapter, sight.start) for adapter in sight.known])


def shared(sight: Sight, by: Tensor, apart: float) -> LoraAdapter:
    """w_start + by, (n,), on which all attackers agree, with this one's own noise."""
    draw = seeding.generator(sight.seed, "disguise")
    noise = torch.randn(len(by), generator=draw, dtype=torch.float64)
    return moved(sight.start, by + apart * by.norm() * noise / noise.norm())
