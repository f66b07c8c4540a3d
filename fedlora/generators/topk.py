"""Retrieval of several: the similarity-weighted mean of the nearest tasks."""

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.generators.blend import Blend, distances
from fedlora.generators.metric import Metric
from fedlora.section import Section

COUNTS = (1, 2, 3, 4, 6, 8, 12, 16)
TEMPERATURES = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)


class TopKConfig(Section):
    """What is null is chosen on the bank, by leaving out one task at a time."""

    k: int | None = Field(3, ge=1, description="tasks averaged")
    temperature: float | None = Field(
        None, gt=0, description="in mean squared distances from a task to its nearest"
    )
    metric: Metric = Field("learned", description="of task vectors; plain: all features alike")


class TopK(Blend):
    """w_t proportional to exp(-d_t^2 / (temperature s)) over the k nearest tasks, else 0.

    d is the Euclidean distance of task vectors, standardised or as the bank weighs them, s the
    mean of d^2 from a task of the bank to its nearest. k and the temperature, where not given,
    minimise the squared error of DeltaW over the bank's tasks, each foretold from the others.
    """

    Config = TopKConfig

    @property
    @override
    def metric(self) -> Metric:
        chosen: Metric = self.config.metric
        return chosen

    @override
    def learn(self, products: Tensor) -> None:
        apart, self.facts["scale"] = self.apart()
        best = torch.inf
        for k in (self.config.k,) if self.config.k else COUNTS:
            given = self.config.temperature
            for temperature in (given,) if given else TEMPERATURES:
                error = self._left_out(apart, products, k, temperature)
                if error < best:
                    best = error
                    self.facts |= {"k": float(k), "temperature": temperature}
        self.facts["left_out_error"] = best

    @override
    def weigh(self, conditions: Tensor) -> Tensor:
        return self.mean(distances(conditions, self.known))

    def mean(self, apart: Tensor, most: int | None = None) -> Tensor:
        """Weights (m, t) at squared distances (m, t), with the k and temperature of the bank.

        most: where fewer than k tasks can be had.
        """
        k = int(self.facts["k"])
        return self._weights(apart, min(k, most or k), self.facts["temperature"])

    def _weights(self, apart: Tensor, k: int, temperature: float) -> Tensor:
        """Weights (m, t) from squared distances (m, t); an infinite distance has weight 0."""
        k = min(k, apart.shape[1])
        closest, index = apart.topk(k, dim=1, largest=False)
        weights = torch.softmax(-closest / (temperature * self.facts["scale"]), dim=1)
        return torch.zeros_like(apart).scatter(1, index, weights)

    def _left_out(self, apart: Tensor, products: Tensor, k: int, temperature: float) -> float:
        """Mean squared error of DeltaW over tasks, as a share of the mean |DeltaW|^2."""
        if len(apart) == 1:
            return 0.0
        misses = self._weights(apart, min(k, len(apart) - 1), temperature)
        misses = misses - torch.eye(len(apart), dtype=torch.float64)
        return float(torch.sum((misses @ products) * misses) / torch.trace(products))
