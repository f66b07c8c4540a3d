"""Adapters beside one another: which of them stand out too far to be honest."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance, norm
from fedlora.adapter.spectrum import effective_rank
from fedlora.config import ScreeningConfig
from fedlora.server.likeness import Change, Read, agreement, length

# However alike the others are, a difference of less than this is none: in log, log, and cosine.
FLOORS = {"size": 0.1, "spectrum": 0.1, "agreement": 0.15, "same_task": 0.1}
COPY = 1e-4  # distance over norm below which two clients' adapters are one
HELD = 64  # clients whose adapters are in memory at once


@dataclass(frozen=True, eq=False)
class Suspect:
    """One client's contribution.

    vector: (c,) of its task, as it says.
    start: what it trained on from; None where the server does not know.
    read: gives its adapters, one at least.
    """

    client: int
    task: str
    vector: Tensor
    start: LoraAdapter | None
    read: Callable[[], Sequence[LoraAdapter]]


def vet(
    config: ScreeningConfig, arrived: Sequence[Suspect], known: Sequence[Suspect] = ()
) -> dict[int, str]:
    """Whom to keep out, and why, by client.

    Compared are, in product space and by robust z-scores over all that arrived or is known: the
    norm of the change from the start, the effective rank of DeltaW, the mean cosine of the change
    with those of the clients whose task vectors are nearest (low for an adapter that was trained
    for another task than its vector says, or against it), and the distance to the other clients of
    its task, where it has three. Copies of another client's adapter are kept out but for the first.

    Args:
        config: the limits.
        arrived: who is judged, in the order of their clients.
        known: who is in the bank already; only compared with.
    """
    everyone = [*known, *arrived]
    if not config.enabled or len(everyone) < config.least:
        return {}
    if any(one.start is None for one in everyone):  # all are measured alike
        everyone = [replace(one, start=None) for one in everyone]

    @lru_cache(HELD)
    def read(at: int) -> Sequence[Change]:
        return [(adapter, everyone[at].start) for adapter in everyone[at].read()]

    sizes, ranks = _sizes_and_ranks(read, len(everyone))
    scores = {
        "size": _logs(sizes),
        "spectrum": _logs(ranks),
        "agreement": agreement([one.vector for one in everyone], read, config.neighbours),
        "same_task": _same_task([one.task for one in everyone], read),
    }
    reasons: dict[int, str] = {}
    for name, values in scores.items():
        limit = getattr(config, name)
        for at, z in enumerate(robust_z(values, FLOORS[name]).tolist()):
            if _out(name, z, limit) and at >= len(known):
                reasons.setdefault(everyone[at].client, _said(name, z, limit))
    for at, other in _copies(sizes, read):
        if at >= len(known):
            who = f"client {everyone[other].client}"
            reasons.setdefault(everyone[at].client, f"a copy of the adapter of {who}")
    return reasons


def robust_z(values: Tensor, floor: float) -> Tensor:
    """(v - median) / max(1.4826 median |v - median|, floor), (n,); 0 for what is NaN."""
    there = values[~values.isnan()]
    if len(there) == 0:
        return torch.zeros_like(values)
    middle = there.quantile(0.5)
    spread = 1.4826 * (there - middle).abs().quantile(0.5)
    return ((values - middle) / spread.clamp_min(floor)).nan_to_num(0.0)


WORDS = {
    "size": "the norm of its change",
    "spectrum": "the effective rank of its update",
    "agreement": "the likeness of its change to those of similar tasks",
    "same_task": "its distance to the other clients of its task",
}
LOW, HIGH = "agreement", "same_task"
"""Measures of which only one side is suspect."""


def _out(name: str, z: float, limit: float) -> bool:
    if name == LOW:
        return z < -limit
    return z > limit if name == HIGH else abs(z) > limit


def _said(name: str, z: float, limit: float) -> str:
    side = "above" if z > 0 else "below"
    return (
        f"{WORDS[name]} is {abs(z):.1f} robust deviations {side} the median"
        f" (screening.{name}={limit:g})"
    )


def _sizes_and_ranks(read: Read, count: int) -> tuple[list[float], list[float]]:
    """Of each client the largest change and the least effective rank, in one reading."""
    sizes, ranks = [], []
    for at in range(count):
        changes = read(at)
        sizes.append(max(length(change) for change in changes))
        ranks.append(min(effective_rank(adapter) for adapter, _ in changes))
    return sizes, ranks


def _logs(values: Sequence[float]) -> Tensor:
    """What is zero stands far below all others."""
    return torch.tensor([math.log(max(value, 1e-12)) for value in values], dtype=torch.float64)


def _same_task(tasks: Sequence[str], read: Read) -> Tensor:
    """Log of the median distance to the other clients of one's task, (n,); NaN without three."""
    out = torch.full((len(tasks),), math.nan, dtype=torch.float64)
    together: dict[str, list[int]] = {}
    for at, task in enumerate(tasks):
        together.setdefault(task, []).append(at)
    for members in together.values():
        if len(members) < 4:
            continue
        for at in members:
            others = [read(other)[-1][0] for other in members if other != at]
            own, _ = read(at)[-1]
            apart = torch.tensor([distance(own, other) for other in others]).quantile(0.5)
            out[at] = math.log(max(float(apart), 1e-12))
    return out


def _copies(sizes: Sequence[float], read: Read) -> list[tuple[int, int]]:
    """Whose adapters are another's, with whose: equal ones have equal norms, so neighbours do."""
    order = sorted(range(len(sizes)), key=lambda at: (sizes[at], at))
    found = []
    for one, other in pairwise(order):
        if sizes[other] - sizes[one] > COPY * sizes[other]:
            continue
        (a, _), (b, _) = read(one)[-1], read(other)[-1]
        if distance(a, b) <= COPY * max(norm(a), norm(b)):
            first, second = sorted((one, other))
            found.append((second, first))
    return found
