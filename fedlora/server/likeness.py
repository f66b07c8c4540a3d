"""How like an adapter's change is to those of similar tasks, in product space."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import cross_gram, distance, norm

Change = tuple[LoraAdapter, LoraAdapter | None]
"""An adapter and what it was trained from; None for a start of zero."""

Read = Callable[[int], Sequence[Change]]
"""The changes of a client by its place in a list, one at least."""

ROWS = 256  # clients whose distances to all others are in memory at once


def agreement(
    vectors: Sequence[Tensor], read: Read, lengths: Sequence[Sequence[float]], neighbours: int
) -> Tensor:
    """Mean cosine of each client's change with those of its neighbours, (n,); the least of its own.

    Args:
        vectors: of n tasks, (c,).
        read: of each client.
        lengths: of what `read` gives for each client.
        neighbours: how many of the nearest by task vector.
    """
    return _cosines(nearest(torch.stack(list(vectors)), neighbours), read, lengths)


def directions(read: Read, lengths: Sequence[Sequence[float]], count: int) -> Tensor:
    """Mean cosine of each client's change with those of `count` others, (n,); the least of its own.

    As `agreement`.
    """
    n = len(lengths)
    return _cosines([spread(n, at, count) for at in range(n)], read, lengths)


def spread(n: int, at: int, count: int) -> list[int]:
    """`count` of the places of n other than one, or all; evenly spread, so that none has many of
    whoever stands side by side.
    """
    count = min(count, n - 1)
    return [(at + step * n // (count + 1)) % n for step in range(1, count + 1)]


def _cosines(
    beside: Sequence[Sequence[int]], read: Read, lengths: Sequence[Sequence[float]]
) -> Tensor:
    """Mean cosine of each client's change with those of others, (n,); the least of its own."""
    out = []
    for at, near in enumerate(beside):
        others = [read(other)[-1] for other in near]
        theirs = torch.tensor([lengths[other][-1] for other in near], dtype=torch.float64)
        own = zip(read(at), lengths[at], strict=True)
        out.append(
            min(
                float((inner(change, others) / (size * theirs).clamp_min(1e-300)).mean())
                for change, size in own
            )
        )
    return torch.tensor(out, dtype=torch.float64)


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


def inner(one: Change, others: Sequence[Change]) -> Tensor:
    """Inner products of a change in product space with several, (k,) float64."""
    adapter, start = one
    rows = [adapter] if start is None else [adapter, start]
    starts = {id(its): its for _, its in others if its is not None}
    columns = [*(its for its, _ in others), *starts.values()]
    products = cross_gram(rows, columns)
    towards = products[0] if start is None else products[0] - products[1]
    column = {key: len(others) + at for at, key in enumerate(starts)}
    return torch.stack(
        [
            towards[at] - (0 if its is None else towards[column[id(its)]])
            for at, (_, its) in enumerate(others)
        ]
    )


def length(change: Change) -> float:
    """Its Frobenius norm over all layers and the head."""
    adapter, start = change
    return norm(adapter) if start is None else distance(adapter, start)
