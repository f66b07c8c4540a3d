"""How like an adapter's change is to those of similar tasks, in product space."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.grams import Grams
from fedlora.adapter.product import cross_gram

Change = tuple[LoraAdapter, LoraAdapter | None]
"""An adapter and what it was trained from; None for a start of zero."""

Read = Callable[[int], Sequence[Change]]
"""The changes of a client by its place in a list, one at least."""

ROWS = 256  # clients whose distances to all others are in memory at once


def agreement(
    vectors: Sequence[Tensor], read: Read, lengths: Sequence[Sequence[float]], neighbours: int
) -> Tensor:
    """Median cosine of each client's change with its neighbours', (n,); the least of its own.

    A minority of neighbours that lie says nothing of whom they surround.

    Args:
        vectors: of n tasks, (c,).
        read: of each client.
        lengths: of what `read` gives for each client.
        neighbours: how many of the nearest by task vector.
    """
    found = []
    for at, near in enumerate(nearest(torch.stack(list(vectors)), neighbours)):
        sizes = torch.tensor([lengths[other][-1] for other in near], dtype=torch.float64)
        own = torch.tensor(lengths[at], dtype=torch.float64)
        products = inner(read(at), [read(other)[-1] for other in near])
        found.append(_cosines(products, own, sizes).quantile(0.5, dim=1).min())
    return torch.stack(found)


def directions(
    read: Read, lengths: Sequence[Sequence[float]], beside: Sequence[int], together: int
) -> Tensor:
    """Mean cosine of each client's change with those of some others, (n,); the least of its own.

    Args:
        read: of each client.
        lengths: of what `read` gives for each client.
        beside: places of the others, the same ones for all; nobody is compared with itself.
        together: clients whose changes are in memory at once, beside those.
    """
    n = len(lengths)
    others = [read(at)[-1] for at in beside]
    theirs = torch.tensor([lengths[at][-1] for at in beside], dtype=torch.float64)
    found: list[float] = []
    for block in torch.arange(n).split(together):
        changes = [(at, change) for at in block.tolist() for change in read(at)]
        products = inner([change for _, change in changes], others)
        own = [size for at in block.tolist() for size in lengths[at]]
        cosines = _cosines(products, torch.tensor(own, dtype=torch.float64), theirs)
        least: dict[int, float] = {}
        for (at, _), row in zip(changes, cosines, strict=True):
            strangers = torch.tensor([other != at for other in beside])
            least[at] = min(least.get(at, math.inf), float(row[strangers].mean()))
        found += least.values()
    return torch.tensor(found, dtype=torch.float64)


def spread(n: int, at: int, count: int) -> list[int]:
    """`count` of the places of n other than one, or all; evenly spread, so that none has many of
    whoever stands side by side.
    """
    count = min(count, n - 1)
    return [(at + step * n // (count + 1)) % n for step in range(1, count + 1)]


def remoteness(vectors: Tensor) -> list[float]:
    """Root mean square of each vector's (n, c) coordinates on the scale that most share, (n,)."""
    return scaled(vectors).square().mean(1).sqrt().tolist()


def scaled(vectors: Tensor) -> Tensor:
    """(v - median) / (1.4826 median |v - median|), coordinate by coordinate, (n, c) float64.

    A minority of vectors cannot move the scale. A coordinate that is equal for most says nothing
    unless it differs, and is then measured in its standard deviations.
    """
    values = vectors.double()
    apart = values - values.quantile(0.5, dim=0)
    scale = 1.4826 * apart.abs().quantile(0.5, dim=0)
    scale = torch.where(scale > 0, scale, values.std(0, correction=0))
    return apart / scale.clamp_min(1e-12)


def nearest(vectors: Tensor, count: int) -> list[list[int]]:
    """Of each of the vectors (n, c) the others that are nearest, its coordinates on one scale."""
    values = scaled(vectors)
    found: list[list[int]] = []
    for rows in torch.arange(len(values)).split(ROWS):
        apart = torch.cdist(values[rows], values)
        apart[torch.arange(len(rows)), rows] = torch.inf
        order = apart.argsort(dim=1, stable=True)
        found += order[:, : min(count, len(values) - 1)].tolist()
    return found


def inner(rows: Sequence[Change], columns: Sequence[Change]) -> Tensor:
    """Inner products in product space of every change with every other, (n, m) float64."""
    left, left_signs = _terms(rows)
    right, right_signs = _terms(columns)
    return left_signs @ cross_gram(left, right) @ right_signs.T


def _terms(changes: Sequence[Change]) -> tuple[list[LoraAdapter], Tensor]:
    """Adapters and starts, each once, and with which sign each is in a change, (n, terms)."""
    starts = {id(start): start for _, start in changes if start is not None}
    place = {key: len(changes) + at for at, key in enumerate(starts)}
    signs = torch.eye(len(changes), len(changes) + len(starts), dtype=torch.float64)
    for at, (_, start) in enumerate(changes):
        if start is not None:
            signs[at, place[id(start)]] = -1.0
    return [*(adapter for adapter, _ in changes), *starts.values()], signs


def lengths_of(changes: Sequence[Change]) -> list[float]:
    """The Frobenius norm of each over all layers and the head; to 1e-8 of its adapter's own."""
    terms, signs = _terms(changes)
    adapters, starts = terms[: len(changes)], terms[len(changes) :]
    squares = Grams.of(adapters).norms().square()
    if starts:
        more = Grams.of(starts).norms().square() - 2 * cross_gram(adapters, starts)
        squares -= (signs[:, len(changes) :] * more).sum(1)
    return squares.clamp_min(0.0).sqrt().tolist()


def _cosines(products: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """From inner products (n, m) and the lengths of rows and columns; 0 where one is zero."""
    return products / (rows[:, None] * columns).clamp_min(1e-300)
