"""What is made on the way from one task of the bank to the next: steps, or one jump."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from fedlora.adapter.product import distance
from fedlora.bench.generator.side import Side
from fedlora.generators.condition import Standard
from fedlora.generators.contract import Generator

STEPS = 8
"""Of a walk, equally long in task space."""

Row = dict[str, Any]


def walks(side: Side, learned: Mapping[str, Generator], methods: Iterable[str]) -> dict[str, Row]:
    """By method, means over walks from each task of the bank to its nearest.

    longest step: of the way in product space, the share that the longest of `STEPS` steps takes;
        1 / `STEPS` is even, 1 a jump from one adapter to another, as a lookup makes it.
    detour: how long the way is, in the distance of its ends.
    """
    own = side.bank.conditions
    seen = Standard.of(own)(own)
    apart = torch.cdist(seen, seen).fill_diagonal_(torch.inf)
    there = torch.linspace(0, 1, STEPS + 1).view(-1, 1)
    asked = torch.cat([own[i].lerp(own[j], there) for i, j in enumerate(apart.argmin(1).tolist())])
    return {method: _walked(side, learned[method], asked) for method in methods}


def _walked(side: Side, generator: Generator, asked: Tensor) -> Row:
    made = side.sample(generator, asked)
    longest, detours = list[float](), list[float]()
    for start in range(0, len(made), STEPS + 1):
        way = made[start : start + STEPS + 1]
        steps = [distance(before, after) for before, after in pairwise(way)]
        ends = distance(way[0], way[-1])
        if sum(steps) > 0 and ends > 0:
            longest.append(max(steps) / sum(steps))
            detours.append(sum(steps) / ends)
    return {
        "longest step": fmean(longest) if longest else None,
        "detour": fmean(detours) if detours else None,
        "walks": len(longest),
    }
