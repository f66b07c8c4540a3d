"""What levels of factors do, foretold for combinations that nobody has seen."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from fedlora.generators.factors_of_tasks import Factors, Structure
from fedlora.generators.kriging import bordered, left_out


@dataclass(frozen=True)
class Effects:
    """Ordinary kriging over cells, and how far it misses tasks that are left out.

    noise: of one task, in variances of the process.
    misses: (t, t), row by row the weights of a task's miss.
    error: of the squared norm of all tasks, the share that is missed.
    """

    factors: Factors
    structure: Structure
    noise: float
    misses: Tensor
    error: float

    @classmethod
    def of(
        cls, factors: Factors, products: Tensor, options: Iterable[tuple[Structure, float]]
    ) -> Self:
        """The structure and noise that miss least; the first of those that miss alike.

        products: (t, t), inner products of what is foretold of the tasks.
        options: what may be chosen, one at least.
        """
        tried = []
        for structure, noise in options:
            likeness = factors.likeness(factors.tasks, factors.tasks, structure)
            misses, _ = left_out(_noisy(likeness, noise))
            error = float(torch.sum((misses @ products) * misses) / products.trace())
            tried.append(cls(factors, structure, noise, misses, error))
        # where all tasks are alike, errors are zero but for their rounding
        return min(tried, key=lambda one: round(one.error, 9))

    def weights(self, cells: Tensor) -> Tensor:
        """What each task counts in each of the cells (n, f): (n, t) float64, rows sum to 1."""
        tasks = self.factors.tasks
        known = _noisy(self.factors.likeness(tasks, tasks, self.structure), self.noise)
        towards = self.factors.likeness(cells, tasks, self.structure)
        right = torch.cat([towards, torch.ones_like(towards[:, :1])], dim=1)
        weights: Tensor = torch.linalg.solve(bordered(known), right.T).T
        return weights[:, :-1]


def _noisy(covariance: Tensor, noise: float) -> Tensor:
    return covariance + noise * torch.eye(len(covariance), dtype=covariance.dtype)
