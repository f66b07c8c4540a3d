"""Retrieval of several: the similarity-weighted mean of the nearest tasks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.generators.blend import Blend, distances, usual_distances
from fedlora.generators.metric import Metric, candidates, foretold, learned
from fedlora.section import Section

COUNTS = (1, 2, 3, 4, 6, 8, 12, 16)
TEMPERATURES = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)


class RetrievalConfig(Section):
    """What is null is chosen on the bank, by leaving out tasks."""

    k: int | None = Field(3, ge=1, description="tasks averaged")
    temperature: float | None = Field(
        None, gt=0, description="in mean squared distances from a task to its nearest"
    )


class TopKConfig(RetrievalConfig):
    """What is null is chosen on the bank, by leaving out tasks."""

    metric: Metric | None = Field("plain", description="by which task vectors are compared")


@dataclass(frozen=True)
class _Part:
    """Tasks `held`, to be foretold from `kept`: squared distances, and their usual size."""

    held: Tensor
    kept: Tensor
    apart: Tensor
    usual: float


class TopK(Blend):
    """w_t proportional to exp(-d_t^2 / (temperature s)) over the k nearest tasks, else 0.

    d is the Euclidean distance of task vectors, standardised or in a learned metric, s the mean of
    d^2 from a task of the bank to its nearest. k, the temperature and the metric, where not given,
    minimise the squared error of DeltaW over the bank's tasks, each foretold from others.
    """

    Config: ClassVar[type[RetrievalConfig]] = TopKConfig

    @override
    def learn(self, products: Tensor) -> None:
        best = torch.inf
        for metric in self.metrics(len(products)):
            parts = list(self._parts(metric, products))
            for k, temperature in self._options():
                error = _left_out(parts, products, k, temperature)
                if error < best:
                    best, chosen = error, metric
                    self.facts |= {"k": float(k), "temperature": temperature}
        if chosen == "learned":
            self.compare_by(learned(self.conditions, products))
        _, self.facts["scale"] = usual_distances(self.known)
        self.facts |= {"left_out_error": best, "learned": float(chosen == "learned")}

    def metrics(self, tasks: int) -> Sequence[Metric]:
        """Those among which the bank chooses."""
        return candidates(self.config.metric, tasks)

    @override
    def weigh(self, conditions: Tensor) -> Tensor:
        return self.mean(distances(conditions, self.known))

    def mean(self, apart: Tensor, most: int | None = None) -> Tensor:
        """Weights (m, t) at squared distances (m, t), with the k and temperature of the bank.

        most: where fewer than k tasks can be had.
        """
        k = int(self.facts["k"])
        scale = self.facts["temperature"] * self.facts["scale"]
        return _weights(apart, min(k, most or k), scale)

    def _options(self) -> Iterator[tuple[int, float]]:
        k, temperature = self.config.k, self.config.temperature
        return product((k,) if k else COUNTS, (temperature,) if temperature else TEMPERATURES)

    def _parts(self, metric: Metric, products: Tensor) -> Iterator[_Part]:
        if self.metrics(len(products)) == ("plain",):  # no rival has to be judged in parts
            every = torch.arange(len(products))
            yield _Part(every, every, *usual_distances(self.known))
            return
        for fold in foretold(self.conditions, products, metric):
            _, usual = usual_distances(fold.known)
            yield _Part(fold.held, fold.kept, distances(fold.asked, fold.known), usual)


def _weights(apart: Tensor, k: int, temperature: float) -> Tensor:
    """Weights (m, t) from squared distances (m, t); an infinite distance has weight 0."""
    k = min(k, apart.shape[1])
    closest, index = apart.topk(k, dim=1, largest=False)
    weights = torch.softmax(-closest / temperature, dim=1)
    return torch.zeros_like(apart).scatter(1, index, weights)


def _left_out(parts: Sequence[_Part], products: Tensor, k: int, temperature: float) -> float:
    """Mean squared error of DeltaW over tasks, as a share of the mean |DeltaW|^2."""
    if len(products) == 1:
        return 0.0
    misses = -torch.eye(len(products), dtype=torch.float64)
    for part in parts:
        most = min(k, len(products) - 1)  # of the others
        weights = _weights(part.apart, most, temperature * part.usual)
        misses[part.held[:, None], part.kept] += weights
    return float(torch.sum((misses @ products) * misses) / torch.trace(products))
