"""Adapters beside one another: which of them stand out too far to be honest."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, takewhile
from typing import NamedTuple

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.grams import Grams
from fedlora.adapter.product import BLOCK, distance
from fedlora.config import ScreeningConfig
from fedlora.server.likeness import (
    Change,
    Read,
    agreement,
    directions,
    lengths_of,
    remoteness,
    spread,
)

# However alike the others are, a difference of less than this is none: in log, and in cosine.
FLOORS = {
    "size": 0.25, "spectrum": 0.25, "balance": 0.25, "excess": 0.25, "agreement": 0.15,
    "same_task": 0.25, "vector": 0.25,
}  # fmt: skip
COPY = 1e-4  # distance over norm below which two clients' adapters are one
HELD = 64  # clients whose adapters are in memory at once
BESIDE = 32  # other clients, of its task or in a round, with which one is compared
COMMON = 0.05  # mean cosine of half of all clients below which they have no common direction


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


class _Print(NamedTuple):
    """The figures of an adapter, and the places of its client and itself.

    norm, rank: no choice of factors changes them.
    balance: norm of all `up` over that of all `down`, which DeltaW does not tell.
    excess: of its factors beside their product (`Grams.excess`).
    """

    norm: float
    rank: float
    at: int
    place: int
    balance: float
    excess: float

    def is_as_large(self, other: "_Print") -> bool:
        return other.norm - self.norm <= COPY * other.norm

    def is_as_wide(self, other: "_Print") -> bool:
        # (sum s^2)^2 / sum s^4 moves by no more than eight times what the values do.
        return abs(other.rank - self.rank) <= 8 * COPY * self.rank


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
    client's adapter are kept out but for the first. Where tasks are not looked at, whoever goes
    against the direction that most go is kept out as well, and whoever has another ratio of `up` to
    `down` than the others, who train from the same, or larger factors for its product: an average
    of factors would be its alone.

    Args:
        config: the limits.
        arrived: who is judged, in the order of their clients.
        known: who is in the bank already; only compared with.
        tasks: whether clients are compared with those of their own and of similar tasks; with
            all others when not, as they are where all train from one adapter.
    """
    everyone = [*known, *arrived]
    if not config.enabled or len(everyone) < config.least:
        return {}
    if any(one.start is None for one in everyone):  # all are measured alike
        everyone = [replace(one, start=None) for one in everyone]

    @lru_cache(HELD)
    def read(at: int) -> Sequence[Change]:
        return [(adapter, everyone[at].start) for adapter in everyone[at].read()]

    lengths, prints = _measured(read, len(everyone))
    scores = {
        "size": _logs([max(own) for own in lengths]),
        "spectrum": _logs([min(one.rank for one in own) for own in prints]),
    }
    if not tasks:
        scores["balance"] = _logs([own[-1].balance for own in prints])
        scores["excess"] = _logs([own[-1].excess for own in prints])
    if tasks:
        scores["vector"] = _logs(remoteness(torch.stack([one.vector for one in everyone])))
        scores["same_task"] = _same_task([one.task for one in everyone], read)
    if tasks and len(everyone) <= config.most:
        vectors = [one.vector for one in everyone]
        scores["agreement"] = agreement(vectors, read, lengths, config.neighbours)
    found = [*_outliers(config, scores), *_copies(prints, read)]
    if not tasks and len(everyone) <= config.most:
        found += _against(config.direction, directions(read, lengths, BESIDE))
    reasons: dict[int, str] = {}
    for at, reason in found:
        if at >= len(known):
            reasons.setdefault(everyone[at].client, reason)
    return reasons


def _outliers(config: ScreeningConfig, scores: Mapping[str, Tensor]) -> list[tuple[int, str]]:
    """Who stands out by which measure, with the reason."""
    found = []
    for name, values in scores.items():
        limit: float = getattr(config, LIMITS.get(name, name))
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


LIMITS = {"excess": "balance"}
"""Measures that share the limit of another."""
WORDS = {
    "size": "the norm of its change",
    "spectrum": "the effective rank of its update",
    "balance": "the ratio of its factors",
    "excess": "the size of its factors beside their product",
    "agreement": "the likeness of its change to those of similar tasks",
    "same_task": "its distance to the other clients of its task",
    "vector": "the distance of its task vector to the middle of all",
}
SIDES: Mapping[str, tuple[int | None, int | None]] = {
    "size": (3, 1),
    "spectrum": (1, 1),
    "balance": (1, 1),
    "excess": (None, 1),
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
        f" (screening.{LIMITS.get(name, name)}={limit:g})"
    )


def _measured(read: Read, count: int) -> tuple[list[list[float]], list[list[_Print]]]:
    """In one reading the lengths of each client's changes, and what its adapters are like."""
    lengths, prints = list[list[float]](), list[list[_Print]]()
    for start in range(0, count, BLOCK):
        block = [read(at) for at in range(start, min(start + BLOCK, count))]
        long = iter(lengths_of([change for changes in block for change in changes]))
        lengths += [[next(long) for _ in changes] for changes in block]
        prints += _prints(block, start)
    return lengths, prints


def _prints(block: Sequence[Sequence[Change]], start: int) -> list[list[_Print]]:
    """Of the adapters of the clients from a place on."""
    grams = Grams.of([adapter for changes in block for adapter, _ in changes])
    up, down = grams.factor_norms()
    figures = zip(
        grams.norms().tolist(),
        grams.effective_ranks().tolist(),
        (up / down).tolist(),
        grams.excess().tolist(),
        strict=True,
    )
    return [
        [
            _Print(size, rank, start + at, place, balance, excess)
            for place, (size, rank, balance, excess) in enumerate(islice(figures, len(changes)))
        ]
        for at, changes in enumerate(block)
    ]


def _logs(values: Sequence[float]) -> Tensor:
    """What is zero stands far below all others."""
    return torch.tensor([math.log(max(value, 1e-12)) for value in values], dtype=torch.float64)


def copied(clients: Sequence[Suspect]) -> dict[int, str]:
    """Who sends an earlier one's adapter, and that it is so, by client."""

    @lru_cache(HELD)
    def read(at: int) -> Sequence[Change]:
        return [(adapter, None) for adapter in clients[at].read()]

    prints = _measured(read, len(clients))[1]
    return {clients[at].client: reason for at, reason in _copies(prints, read)}


def _same_task(tasks: Sequence[str], read: Read) -> Tensor:
    """Log of the median distance to other clients of one's task, (n,); NaN without three.

    Of a task with many clients, to `BESIDE` of them.
    """
    out = torch.full((len(tasks),), math.nan, dtype=torch.float64)
    together: dict[str, list[int]] = {}
    for at, task in enumerate(tasks):
        together.setdefault(task, []).append(at)
    for members in together.values():
        if len(members) < 4:
            continue
        for place, at in enumerate(members):
            beside = [members[other] for other in spread(len(members), place, BESIDE)]
            others = [read(other)[-1][0] for other in beside]
            own, _ = read(at)[-1]
            apart = torch.tensor([distance(own, other) for other in others]).quantile(0.5)
            out[at] = math.log(max(float(apart), 1e-12))
    return out


def _against(limit: float, directions: Tensor) -> list[tuple[int, str]]:
    """Who goes the other way, where most go one way."""
    middle = float(directions.quantile(0.5))
    if middle < COMMON:
        return []
    return [
        (
            at,
            f"its change goes against the others': a mean cosine of {mean:.2f} with them, where"
            f" half have {middle:.2f} or more (screening.direction={limit:g})",
        )
        for at, mean in enumerate(directions.tolist())
        if mean < -limit * middle
    ]


def _copies(prints: Sequence[Sequence[_Print]], read: Read) -> list[tuple[int, str]]:
    """Whose adapters are an earlier client's; compared are those of one norm and effective rank."""
    found = []
    ordered = sorted(one for own in prints for one in own)
    for place, one in enumerate(ordered):
        for other in takewhile(one.is_as_large, islice(ordered, place + 1, None)):
            if one.at == other.at or not one.is_as_wide(other):
                continue
            a, b = read(one.at)[one.place][0], read(other.at)[other.place][0]
            if distance(a, b) <= COPY * other.norm:
                found.append((max(one.at, other.at), "it is a copy of another client's adapter"))
    return found
