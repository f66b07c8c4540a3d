"""Where noise comes from: chance nobody can repeat, or a seed that a simulation needs."""

import secrets

import torch

from fedlora.config import RunConfig


def repeats(config: RunConfig) -> bool:
    """Whether a run's noise follows from its seed, as a simulation's must, so that runs repeat.

    In a deployment whoever knows the run's seed could take seeded noise off again.
    """
    return config.runtime.name != "deployment"


def noise_generator(seed: int, repeated: bool) -> torch.Generator:
    """Of noise: by the seed where it is to repeat, by the system's entropy elsewhere."""
    return torch.Generator().manual_seed(seed if repeated else secrets.randbits(63))
