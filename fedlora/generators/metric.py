"""What of a task vector tells adapters apart, learned on the bank."""

from typing import Literal

from torch import Tensor

from fedlora.errors import FedloraError
from fedlora.generators.components import Components
from fedlora.generators.condition import Projection, Standard
from fedlora.generators.linear import ridge_map

Metric = Literal["plain", "learned"]

PENALTY = 0.1
"""As a share of the mean eigenvalue; less than foretells best, since neighbours are averaged."""


def learned(means: Tensor, products: Tensor) -> Standard | Projection:
    """Task vectors as the DeltaW that ridge regression foretells of them.

    Two vectors are then as far apart as their DeltaW are expected to be, and features that move
    without the adapters count for nothing. Of vectors or adapters that are all the same nothing is
    learned.

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
