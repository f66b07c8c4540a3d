"""Adapters beside one another: which of them stand out too far to be honest."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance
from fedlora.config import ScreeningConfig
from fedlora.server.likeness import Change, Read, agreement, directions, remoteness, spread
from fedlora.server.prints import copies, prints_of

# However alike the others are, a difference of less than this is none: in log, and in cosine.
FLOORS = {
    "size": 0.25, "spectrum": 0.1, "balance": 0.25, "excess": 0.25, "agreement": 0.15,
    "same_task": 0.1, "vector": 0.25,
}  # fmt: skip
HELD = 1024  # clients whose adapters are in memory at once, fewer where these are large
HELD_BYTES = 256 << 20
BESIDE = 32  # other clients, of its task or in a round, with which one is compared
AGAINST = 0.15  # however little clients go together, a cosine above minus this is not against


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
    factors: bool = False,
    seed: int = 0,
) -> dict[int, str]:
    """Whom to keep out, and why, by client.

    Compared are, in product space and by robust z-scores over all that arrived or is known: the
    norm of the change from the start, the effective rank of DeltaW, the median cosine of the change
    with those of the clients whose task vectors are nearest (low for an adapter that was trained
    for another task than its vector says, or against it), the distance to the other clients of its
    task, where it has three, and the distance of its task vector to the middle of all: one that is
    huge would put all others on one point of the scale that generators share. Copies of another
    client's adapter are kept out but for the first. Whoever goes against the others where most go
    together is kept out as well: against its neighbours, or against all where tasks are not looked
    at. Where factors count, so is whoever has another ratio of `up` to `down` than the others, or
    larger factors for its product: an average of factors would be its alone.

    Args:
        config: the limits.
        arrived: who is judged, in the order of their clients.
        known: who is in the bank already; only compared with.
        tasks: whether clients are compared with those of their own and of similar tasks; with
            all others when not, as they are where all train from one adapter.
        factors: whether something is learned from the factors and not from DeltaW alone.
        seed: of with whom all are compared where tasks are not looked at, and there are many.
    """
    everyone = [*known, *arrived]
    if not config.enabled or len(everyone) < config.least:
        return {}
    if any(one.start is None for one in everyone):  # all are measured alike
        everyone = [replace(one, start=None) for one in everyone]

    read, held = _reader(everyone)
    prints = prints_of(read, len(everyone), held // 2)
    lengths = [[one.moved for one in own] for own in prints]
    scores = {
        "size": _logs([max(own) for own in lengths]),
        "spectrum": _logs([min(one.rank for one in own) for own in prints]),
    }
    if factors:
        scores["balance"] = _logs([own[-1].balance for own in prints])
        scores["excess"] = _logs([own[-1].excess for own in prints])
    if tasks:
        far = _logs(remoteness(torch.stack([one.vector for one in everyone])))
        scores["vector"] = _beside_own(far, [one.task for one in everyone])
        scores["same_task"] = _same_task([one.task for one in everyone], read)
    together: Tensor | None = None
    if len(everyone) <= config.most and tasks:
        vectors = [one.vector for one in everyone]
        together = scores["agreement"] = agreement(vectors, read, lengths, config.neighbours)
    elif len(everyone) <= config.most:
        beside = _drawn(len(everyone), min(BESIDE, held // 2), seed)
        together = directions(read, lengths, beside, held // 2)
    found = [*_outliers(config, scores), *copies(prints, read)]
    if together is not None:
        others = "those of similar tasks" if tasks else "the others'"
        found += _against(config.direction, together, others)
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


def _reader(everyone: Sequence[Suspect]) -> tuple[Read, int]:
    """Reads each client's changes, and of how many they may be in memory at once; two at least."""
    size = 4 * sum(adapter.spec.size for adapter in everyone[0].read())
    held = max(2, min(HELD, HELD_BYTES // size))

    @lru_cache(held)
    def read(at: int) -> Sequence[Change]:
        return [(adapter, everyone[at].start) for adapter in everyone[at].read()]

    return read, held


def _drawn(count: int, most: int, seed: int) -> list[int]:
    """Places of those with whom all are compared, in order: one more than `most`, or all."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return sorted(order[: most + 1].tolist())


def _logs(values: Sequence[float]) -> Tensor:
    """What is zero stands far below all others."""
    return torch.tensor([math.log(max(value, 1e-12)) for value in values], dtype=torch.float64)


def copied(clients: Sequence[Suspect]) -> dict[int, str]:
    """Who sends an earlier one's adapter, and that it is so, by client."""
    if not clients:
        return {}
    read, held = _reader(clients)
    prints = prints_of(read, len(clients), held // 2)
    return {clients[at].client: reason for at, reason in copies(prints, read)}


def _beside_own(values: Tensor, tasks: Sequence[str]) -> Tensor:
    """Values (n,), those of a task with three clients or more as far from the middle of them all
    as from that of its own: what a whole task has in common is no client's fault.
    """
    out, middle = values.clone(), values.quantile(0.5)
    for members in _members(tasks, 3):
        out[members] += middle - values[members].quantile(0.5)
    return out


def _members(tasks: Sequence[str], least: int) -> list[list[int]]:
    """The places of each task's clients, of tasks that have so many."""
    together: dict[str, list[int]] = {}
    for at, task in enumerate(tasks):
        together.setdefault(task, []).append(at)
    return [members for members in together.values() if len(members) >= least]


def _same_task(tasks: Sequence[str], read: Read) -> Tensor:
    """Log of the median distance to other clients of one's task, (n,); NaN without three.

    Of a task with many clients, to `BESIDE` of them.
    """
    out = torch.full((len(tasks),), math.nan, dtype=torch.float64)
    for members in _members(tasks, 4):
        for place, at in enumerate(members):
            beside = [members[other] for other in spread(len(members), place, BESIDE)]
            others = [read(other)[-1][0] for other in beside]
            own, _ = read(at)[-1]
            apart = torch.tensor([distance(own, other) for other in others]).quantile(0.5)
            out[at] = math.log(max(float(apart), 1e-12))
    return out


def _against(limit: float, directions: Tensor, others: str) -> list[tuple[int, str]]:
    """Who goes the other way, where most go one way."""
    middle = float(directions.quantile(0.5))
    least = max(limit * middle, AGAINST)
    return [
        (
            at,
            f"its change goes against {others}: a cosine of {mean:.2f} with them, where"
            f" half have {middle:.2f} or more (screening.direction={limit:g})",
        )
        for at, mean in enumerate(directions.tolist())
        if middle > 0 and mean < -least
    ]
