"""Which clients of a simulation attacked, and of how many something was kept out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from fedlora import seeding
from fedlora.aggregation.suspects import at_most
from fedlora.config import RunConfig


@dataclass(frozen=True)
class Siege:
    """Of one seed.

    clients: how many fill the bank, the first of the run's.
    attackers: those that attacked.
    caught, wronged: attackers, and others, of which an answer or an adapter was refused, set aside
        or left out of what generators learn from, or never came.
    """

    seed: int
    clients: int
    attackers: tuple[int, ...]
    caught: int
    wronged: int


def attackers_of(config: RunConfig, clients: int, seed: int) -> tuple[int, ...]:
    """The clients that attack, in order, drawn from the bank's by the seed; newcomers never."""
    if config.attackers is None:
        return ()
    count = max(1, at_most(config.attackers.share, clients))
    order = torch.randperm(clients, generator=seeding.generator(seed, "attackers"))
    return tuple(sorted(order[:count].tolist()))


def siege(
    config: RunConfig, seed: int, clients: int, lines: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A `Siege` as plain values.

    lines: of what was lost, and of what was left out of learning; each names its client.
    """
    ours = set(attackers_of(config, clients, seed))
    struck = {line["client"] for line in lines if line["client"] < clients}
    found = Siege(seed, clients, tuple(sorted(ours)), len(struck & ours), len(struck - ours))
    return asdict(found)
