"""What adapters are like in figures, and which of them are copies of one another."""

import secrets
from collections.abc import Sequence
from itertools import islice, takewhile
from typing import NamedTuple

import torch

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.grams import Grams
from fedlora.adapter.product import cross_gram, distance
from fedlora.server.likeness import Change, Read, lengths_of

COPY = 1e-4
"""Distance over norm below which two clients' adapters are one."""
PROBES = 2
"""Random directions along which copies are alike."""


class Print(NamedTuple):
    """The figures of an adapter, and the places of its client and itself.

    norm, rank: no choice of factors changes them.
    moved: how far it is from its start.
    marks: inner products with a few directions that nobody knows before.
    balance: norm of all `up` over that of all `down`, which DeltaW does not tell.
    excess: of its factors beside their product (`Grams.excess`).
    """

    norm: float
    rank: float
    at: int
    place: int
    marks: tuple[float, ...]
    moved: float
    balance: float
    excess: float

    def is_as_large(self, other: "Print") -> bool:
        """Whether a copy of the other, which is no smaller, could be of this norm."""
        return other.norm - self.norm <= COPY * other.norm

    def is_like(self, other: "Print") -> bool:
        """Whether a copy of the other could have this rank and these marks."""
        # (sum s^2)^2 / sum s^4 moves by no more than eight times what the values do.
        near = abs(other.rank - self.rank) <= 8 * COPY * self.rank
        pairs = zip(self.marks, other.marks, strict=True)
        return near and all(abs(a - b) <= COPY * other.norm for a, b in pairs)


def prints_of(read: Read, count: int, together: int) -> list[list[Print]]:
    """What the adapters of each of `count` clients are like, in one reading.

    together: clients whose adapters are looked at at once.
    """
    prints = list[list[Print]]()
    probes = _probes(read(0)[0][0].spec)
    for start in range(0, count, together):
        block = [read(at) for at in range(start, min(start + together, count))]
        prints += _prints_of(block, start, probes)
    return prints


def _probes(spec: AdapterSpec) -> list[LoraAdapter]:
    """Random adapters of rank 1, others every time.

    Of known ones adapters could be made so that many have to be compared one by one; whether two
    are copies does not depend on them.
    """
    thin, draw = spec.with_rank(1), torch.Generator().manual_seed(secrets.randbits(63))
    return [
        LoraAdapter.from_flat(thin, torch.randn(thin.size, generator=draw)) for _ in range(PROBES)
    ]


def _prints_of(
    block: Sequence[Sequence[Change]], start: int, probes: Sequence[LoraAdapter]
) -> list[list[Print]]:
    """Of the adapters of the clients from a place on."""
    changes = [change for own in block for change in own]
    adapters = [adapter for adapter, _ in changes]
    grams, marks = Grams.of(adapters), cross_gram(adapters, probes) / Grams.of(probes).norms()
    up, down = grams.factor_norms()
    figures = zip(
        grams.norms().tolist(),
        grams.effective_ranks().tolist(),
        marks.tolist(),
        lengths_of(changes),
        torch.where(down > 0, up / down, torch.inf).tolist(),
        grams.excess().tolist(),
        strict=True,
    )
    return [
        [
            Print(size, rank, start + at, place, tuple(mark), *others)
            for place, (size, rank, mark, *others) in enumerate(islice(figures, len(own)))
        ]
        for at, own in enumerate(block)
    ]


def copies(prints: Sequence[Sequence[Print]], read: Read) -> list[tuple[int, str]]:
    """Whose adapters are an earlier client's; compared are those of one norm and effective rank.

    What is zero, or as it was sent, is nobody's.
    """
    found = []
    ordered = sorted(one for own in prints for one in own if one.moved > COPY * one.norm > 0)
    for place, one in enumerate(ordered):
        for other in takewhile(one.is_as_large, islice(ordered, place + 1, None)):
            if one.at == other.at or not one.is_like(other):
                continue
            a, b = read(one.at)[one.place][0], read(other.at)[other.place][0]
            if distance(a, b) <= COPY * other.norm:
                found.append((max(one.at, other.at), "it is a copy of another client's adapter"))
    return found
