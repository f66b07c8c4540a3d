"""Where noise comes from: chance nobody can repeat, or a seed that a simulation needs."""

import math
import os
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fedlora.config import RunConfig


class Chance(Protocol):
    """Draws that are independent of one another."""

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float64) -> Tensor:
        """Of mean 0 and variance 1."""

    def uniform(self, count: int) -> Tensor:
        """(count,) from 0 to 1, without 1."""


class Seeded:
    """Draws that follow from a seed, so that whoever knows it knows them."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float64) -> Tensor:
        """As `Chance` says; other numbers in another type."""
        return torch.randn(tuple(shape), generator=self._generator, dtype=dtype)

    def uniform(self, count: int) -> Tensor:
        """As `Chance` says; float32."""
        return torch.rand(count, generator=self._generator)


class Entropy:
    """Draws from the operating system's own generator of secrets.

    Of torch's generator a seed of 32 bits is all there is to guess: who sees noise and knows about
    what is below it can try them all.
    """

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float64) -> Tensor:
        """As `Chance` says, by Box and Muller (1958)."""
        count = math.prod(shape)
        radius, angle = self.uniform(2 * ((count + 1) // 2)).view(2, -1)
        length = torch.sqrt(-2 * torch.log1p(-radius))
        pairs = torch.stack([torch.cos(2 * math.pi * angle), torch.sin(2 * math.pi * angle)])
        return (length * pairs).flatten()[:count].reshape(tuple(shape)).to(dtype)

    def uniform(self, count: int) -> Tensor:
        """As `Chance` says; float64, 53 bits each."""
        bits = np.frombuffer(os.urandom(8 * count), dtype=np.uint64) >> np.uint64(11)
        return torch.from_numpy(bits.astype(np.float64)) * 2.0**-53


def repeats(config: RunConfig) -> bool:
    """Whether a run's noise follows from its seed, as a simulation's must, so that runs repeat.

    In a deployment whoever knows the run's seed could take seeded noise off again.
    """
    return config.runtime.name != "deployment"


def chance_of(seed: int, repeated: bool) -> Chance:
    """By the seed where draws are to repeat, by the system's entropy elsewhere."""
    return Seeded(seed) if repeated else Entropy()
