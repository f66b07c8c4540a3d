"""Which clients of a simulation attacked, and of how many something was kept out."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fedlora import seeding
from fedlora.aggregation.suspects import at_most
from fedlora.config import RunConfig


def attackers_of(config: RunConfig, clients: int, seed: int) -> tuple[int, ...]:
    """The clients that attack, in order, drawn from the bank's by the seed; newcomers never."""
    if config.attackers is None:
        return ()
    count = max(1, at_most(config.attackers.share, clients))
    order = torch.randperm(clients, generator=seeding.generator(seed, "attackers"))
    return tuple(sorted(order[:count].tolist()))


def what_came_of_them(
    config: RunConfig, seed: int, clients: int, lines: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Who attacked with one seed, and how many of them, and of the others, were struck by defences.

    Args:
        config: of the run.
        seed: of it.
        clients: how many fill the bank, the first of the run's.
        lines: of what was lost, and of what was left out of learning; each names its client.

    Returns:
        seed, clients, attackers (their numbers), and caught and wronged: attackers, and others, of
        which an answer or an adapter was refused, set aside or left out, or never came.
    """
    ours = attackers_of(config, clients, seed)
    struck = {line["client"] for line in lines if line["client"] < clients}
    caught = len(struck.intersection(ours))
    return {
        "seed": seed,
        "clients": clients,
        "attackers": ours,
        "caught": caught,
        "wronged": len(struck) - caught,
    }
