"""Adapters beside one another: which of them stand out too far to be honest."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance, norm
from fedlora.adapter.spectrum import effective_rank
from fedlora.config import ScreeningConfig
from fedlora.server.likeness import Change, Read, agreement, length, remoteness

# However alike the others are, a difference of less than this is none: in log, log, and cosine.
FLOORS = {"size": 0.25, "spectrum": 0.25, "agreement": 0.15, "same_task": 0.25, "vector": 0.25}
COPY = 1e-4  # distance over norm below which two clients' adapters are one
HELD = 64  # clients whose adapters are in memory at once
RING = 32  # other clients of its task with which one is compared


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
    config: ScreeningConfig,
    arrived: Sequence[Suspect],
    known: Sequence[Suspect] = (),
    *,
    tasks: bool = True,
) -> dict[int, str]:
    """Whom to keep out, and why, by client.

    Compared are, in product space and by robust z-scores over all that arrived or is known: the
    norm of the change from the start, the effective rank of DeltaW, the mean cosine of the change
    with those of the clients whose task vectors are nearest (low for an adapter that was trained
    for another task than its vector says, or against it), the distance to the other clients of its
    task, where it has three, and the distance of its task vector to the middle of all: one that is
    huge would put all others on one point of the scale that generators share. Copies of another
    client's adapter are kept out but for the first.

    Args:
        config: the limits.
        arrived: who is judged, in the order of their clients.
        known: who is in the bank already; only compared with.
        tasks: whether clients are compared with those of their own and of similar tasks too.
    """
    everyone = [*known, *arrived]
    if not config.enabled or len(everyone) < config.least:
        return {}
    if any(one.start is None for one in everyone):  # all are measured alike
        everyone = [replace(one, start=None) for one in everyone]

    @lru_cache(HELD)
    def read(at: int) -> Sequence[Change]:
        return [(adapter, everyone[at].start) for adapter in everyone[at].read()]

    lengths, ranks = _lengths_and_ranks(read, len(everyone))
    sizes = [max(own) for own in lengths]
    scores = {"size": _logs(sizes), "spectrum": _logs(ranks)}
    if tasks:
        scores["vector"] = _logs(remoteness(torch.stack([one.vector for one in everyone])))
        scores["same_task"] = _same_task([one.task for one in everyone], read)
    if tasks and len(everyone) <= config.most:
        vectors = [one.vector for one in everyone]
        scores["agreement"] = agreement(vectors, read, lengths, config.neighbours)
    reasons: dict[int, str] = {}
    for at, reason in [*_outliers(config, scores), *_copies(sizes, read)]:
        if at >= len(known):
            reasons.setdefault(everyone[at].client, reason)
    return reasons


def _outliers(config: ScreeningConfig, scores: Mapping[str, Tensor]) -> list[tuple[int, str]]:
    """Who stands out by which measure, with the reason."""
    found = []
    for name, values in scores.items():
        limit: float = getattr(config, name)
        for at, z in enumerate(robust_z(values, FLOORS[name]).tolist()):
            if _out(name, z, limit):
                found.append((at, _said(name, z, limit)))
    return found


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
    "vector": "the distance of its task vector to the middle of all",
}
SIDES: Mapping[str, tuple[int | None, int | None]] = {
    "size": (3, 1),
    "spectrum": (1, 1),
    "agreement": (1, None),
    "same_task": (None, 1),
    "vector": (None, 1),
}
"""How many limits below and above the median are too many; None where that side is none.

A client with little data changes little.
"""


def _out(name: str, z: float, limit: float) -> bool:
    below, above = SIDES[name]
    low = below is not None and z < -below * limit
    return low or (above is not None and z > above * limit)


def _said(name: str, z: float, limit: float) -> str:
    side = "above" if z > 0 else "below"
    return (
        f"{WORDS[name]} is {abs(z):.1f} robust deviations {side} the median"
        f" (screening.{name}={limit:g})"
    )


def _lengths_and_ranks(read: Read, count: int) -> tuple[list[list[float]], list[float]]:
    """Of each client the lengths of its changes and its least effective rank, in one reading."""
    lengths, ranks = [], []
    for at in range(count):
        changes = read(at)
        lengths.append([length(change) for change in changes])
        ranks.append(min(effective_rank(adapter) for adapter, _ in changes))
    return lengths, ranks


def _logs(values: Sequence[float]) -> Tensor:
    """What is zero stands far below all others."""
    return torch.tensor([math.log(max(value, 1e-12)) for value in values], dtype=torch.float64)


def _same_task(tasks: Sequence[str], read: Read) -> Tensor:
    """Log of the median distance to other clients of one's task, (n,); NaN without three.

    Of a task with many clients, to the next of them, the first after the last.
    """
    out = torch.full((len(tasks),), math.nan, dtype=torch.float64)
    together: dict[str, list[int]] = {}
    for at, task in enumerate(tasks):
        together.setdefault(task, []).append(at)
    for members in together.values():
        if len(members) < 4:
            continue
        for place, at in enumerate(members):
            following = [*members[place + 1 :], *members[:place]][:RING]
            others = [read(other)[-1][0] for other in following]
            own, _ = read(at)[-1]
            apart = torch.tensor([distance(own, other) for other in others]).quantile(0.5)
            out[at] = math.log(max(float(apart), 1e-12))
    return out


def _copies(sizes: Sequence[float], read: Read) -> list[tuple[int, str]]:
    """Whose adapters are an earlier one's: equal ones have equal norms, so neighbours do."""
    order = sorted(range(len(sizes)), key=lambda at: (sizes[at], at))
    found = []
    for one, other in pairwise(order):
        if sizes[other] - sizes[one] > COPY * sizes[other]:
            continue
        (a, _), (b, _) = read(one)[-1], read(other)[-1]
        if distance(a, b) <= COPY * max(norm(a), norm(b)):
            found.append((max(one, other), "it is a copy of another client's adapter"))
    return found
