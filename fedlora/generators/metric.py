"""What of a task vector tells adapters apart, learned on the bank."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fedlora.errors import FedloraError
from fedlora.generators.components import Components
from fedlora.generators.condition import Projection, Standard, View
from fedlora.generators.linear import ridge_map

Metric = Literal["plain", "learned"]

PENALTY = 0.1
"""Of the ridge regression, as a share of the mean eigenvalue."""
FOLDS = 8
"""Parts of the bank, each foretold from the others; a bank of fewer tasks learns no metric."""


def candidates(given: Metric | None, tasks: int) -> tuple[Metric, ...]:
    """The metrics among which a bank of so many tasks chooses; the first of equals."""
    if tasks < FOLDS:
        return ("plain",)
    return (given,) if given else ("plain", "learned")


def learned(means: Tensor, products: Tensor) -> View:
    """Task vectors as the DeltaW that ridge regression foretells of them.

    Two vectors are then as far apart as their DeltaW are expected to be. The bank's own come out
    nearer to their DeltaW than another task's would, since the map has seen them: what a metric is
    worth is found out by `foretold`. Of adapters that are all the same nothing is learned.

    means: (t, c) task vectors. products: (t, t) of the tasks' DeltaW.
    """
    standard = Standard.of(means)
    known = standard(means)
    try:
        points = Components.of(products, len(means)).points
    except FedloraError:  # as before the first round of growth
        return standard
    if not bool(known.any()):
        return standard
    return Projection(standard, (ridge_map(known, PENALTY) @ points).float())


@dataclass(frozen=True)
class Fold:
    """Tasks `held` (h,) beside the others, `kept` (k,), from which the metric follows.

    asked: (h, d), known: (k, d), their vectors in the metric.
    """

    held: Tensor
    kept: Tensor
    asked: Tensor
    known: Tensor


def foretold(means: Tensor, products: Tensor, metric: Metric) -> Iterator[Fold]:
    """The bank in parts, each seen by a metric that has not seen it."""
    every = torch.arange(len(means))
    for first in range(FOLDS):
        held = every[first::FOLDS]
        kept = every[every % FOLDS != first]
        if metric == "learned":
            see = learned(means[kept], products[kept][:, kept])
        else:
            see = Standard.of(means[kept])
        yield Fold(held, kept, see(means[held]), see(means[kept]))
