"""A linear map from condition to DeltaW."""

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.errors import FedloraError
from fedlora.generators.blend import Blend
from fedlora.section import Section

PENALTIES = tuple(10.0**power for power in range(-5, 4))


class RidgeConfig(Section):
    """What is null is chosen on the bank, by leaving out one task at a time."""

    penalty: float | None = Field(None, gt=0, description="as a share of the mean eigenvalue")


class Ridge(Blend):
    """Ridge regression from standardised task vectors to DeltaW, with a free intercept.

    In its dual form every answer is a combination of the bank's adapters: with K = Z Z^T,
    w(z) = 1/t + (z Z^T) (K + penalty k I)^-1 (I - 11^T / t), where k = tr(K) / t. The penalty,
    where not given, minimises the leave-one-task-out error by its closed form
    (y_t - yhat_t) / (1 - H_tt) (Hastie et al., Elements of Statistical Learning, eq. 7.64).
    """

    Config = RidgeConfig
    least_tasks = 2

    @override
    def learn(self, products: Tensor) -> None:
        if not bool(self.known.any()):
            raise FedloraError("all task vectors of the bank are equal: ridge has nothing to go by")
        given = self.config.penalty
        best = torch.inf
        for penalty in (given,) if given else PENALTIES:
            error = self._left_out(products, penalty)
            if error < best:
                best = error
                self.facts = {"penalty": penalty, "left_out_error": error}

    @override
    def weigh(self, conditions: Tensor) -> Tensor:
        return self._weights(conditions.double(), self.facts["penalty"])

    def _weights(self, conditions: Tensor, penalty: float) -> Tensor:
        known = self.known.double()
        tasks = len(known)
        kernel = known @ known.T
        lift = penalty * kernel.trace() / tasks * torch.eye(tasks, dtype=torch.float64)
        slopes: Tensor = torch.linalg.solve(kernel + lift, known @ conditions.T).T
        return 1 / tasks + slopes - slopes.mean(1, keepdim=True)

    def _left_out(self, products: Tensor, penalty: float) -> float:
        """Mean squared error of DeltaW over tasks, as a share of the mean |DeltaW|^2."""
        hat = self._weights(self.known.double(), penalty)
        misses = torch.eye(len(hat), dtype=torch.float64) - hat
        misses = misses / misses.diagonal().unsqueeze(1)
        return float(torch.sum((misses @ products) * misses) / torch.trace(products))
