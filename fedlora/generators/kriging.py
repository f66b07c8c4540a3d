"""Kriging: a Gaussian process from task vectors to DeltaW, and how sure it is."""

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.errors import FedloraError
from fedlora.generators.blend import Blend
from fedlora.generators.metric import Metric
from fedlora.section import Section

NOISES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class KrigingConfig(Section):
    """What is null is chosen on the bank, by leaving out one task at a time."""

    noise: float | None = Field(
        None, gt=0, description="of one bank adapter, in variances of the process"
    )
    reach: float = Field(
        0.5, gt=0, description="of a task, in root median squared distances between tasks"
    )
    linear: float = Field(1.0, ge=0, description="variance of the linear part; 0 is purely local")
    metric: Metric = Field("learned", description="of task vectors; plain: all features alike")


class Kriging(Blend):
    """Ordinary kriging of DeltaW over task vectors z (Cressie 1993, section 3.2).

    z is standardised, or as the bank weighs it.

    k(z, z') = exp(-|z - z'|^2 / (2 reach^2 m)) + linear <z, z'> / s, where m is the median of
    |z - z'|^2 over pairs of the bank's tasks and s the mean of |z|^2. The local part interpolates;
    the linear part adds up what factors do that were seen apart. With K = k + noise I,

        w(z) = K^-1 (k(z) + (1 - 1^T K^-1 k(z)) / (1^T K^-1 1) 1),

    which sums to one, so that far from the bank the local part falls back to the bank's mean.
    The noise, where not given, minimises the leave-one-task-out error of DeltaW in closed form.
    """

    Config = KrigingConfig
    least_tasks = 2

    left_out_errors: tuple[Tensor, Tensor]
    """Foretold and real |error|^2 (t,) of the tasks left out, as `foretold_error`; after a fit."""

    @property
    @override
    def metric(self) -> Metric:
        chosen: Metric = self.config.metric
        return chosen

    @override
    def learn(self, products: Tensor) -> None:
        if not bool(self.known.any()):
            raise FedloraError(
                "all task vectors of the bank are equal: describe tasks by their own"
            )
        self.facts = self._scales()
        given = self.config.noise
        best = torch.inf
        for noise in (given,) if given else NOISES:
            misses, variances = self._left_out(noise)
            errors = torch.sum((misses @ products) * misses, dim=1)
            error = float(errors.sum() / products.trace())
            if error < best:
                best = error
                # what a unit of variance meant on the bank, in squared norms of an adapter
                size = products.diagonal().mean()
                unit = float(errors.mean() / variances.mean() / size)
                self.left_out_errors = variances * unit, errors / size
                self.facts |= {"noise": noise, "left_out_error": error, "error_unit": unit}

    @override
    def weigh(self, conditions: Tensor) -> Tensor:
        return self._solve(conditions, self.known)[0]

    def foretold_error(self, conditions: Tensor, joined: Tensor | None = None) -> Tensor:
        """Expected |error|^2 of DeltaW for task vectors (m, c), in mean squared norms of the bank.

        The kriging variance (Cressie 1993, equation 3.2.16) times what a unit of it came to over
        the bank's tasks, each foretold from the others.

        joined: (j, c), further task vectors, as if adapters of theirs were in the bank.
        """
        known = self.known if joined is None else torch.cat([self.known, self.standard(joined)])
        _, variances = self._solve(self.standard(conditions), known)
        return variances * self.facts["error_unit"]

    def _scales(self) -> dict[str, float]:
        known = self.known.double()
        pairs = torch.pdist(known) ** 2
        median = float(pairs.median())
        return {
            "reach": self.config.reach**2 * (median if median > 0 else float(pairs.max())),
            "size": float((known**2).sum(1).mean()),
        }

    def _kernel(self, one: Tensor, two: Tensor) -> Tensor:
        local: Tensor = torch.exp(-(torch.cdist(one, two) ** 2) / (2 * self.facts["reach"]))
        whole: Tensor = local + self.config.linear * (one @ two.T) / self.facts["size"]
        return whole

    def _covariance(self, noise: float, known: Tensor) -> Tensor:
        known = known.double()
        return self._kernel(known, known) + noise * torch.eye(len(known), dtype=torch.float64)

    def _solve(self, conditions: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (m, t) and kriging variances (m,) of a new observation, noise included."""
        noise = self.facts["noise"]
        system = bordered(self._covariance(noise, known))
        towards = self._kernel(conditions.double(), known.double())
        right = torch.cat([towards, torch.ones_like(towards[:, :1])], dim=1)
        solved = torch.linalg.solve(system, right.T).T
        sizes: Tensor = (conditions.double() ** 2).sum(1) / self.facts["size"]
        own = 1 + self.config.linear * sizes
        return solved[:, :-1], own + noise - (solved * right).sum(1)

    def _left_out(self, noise: float) -> tuple[Tensor, Tensor]:
        return left_out(self._covariance(noise, self.known))


def left_out(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """For each task, foretold from the others: its miss as weights (t, t), and the variance (t,).

    Both follow from one inverse (Dubrule 1983): miss = (Q y)_t / Q_tt, variance = 1 / Q_tt.
    covariance: (t, t) of observations, noise included.
    """
    tasks = len(covariance)
    inverse = torch.linalg.inv(bordered(covariance))[:tasks, :tasks]
    diagonal = inverse.diagonal()
    return inverse / diagonal.unsqueeze(1), 1 / diagonal


def bordered(covariance: Tensor) -> Tensor:
    """The matrix of ordinary kriging's system: weights must sum to one."""
    tasks = len(covariance)
    ones = torch.ones(tasks, 1, dtype=covariance.dtype)
    corner = torch.zeros(1, 1, dtype=covariance.dtype)
    return torch.cat([torch.cat([covariance, ones], 1), torch.cat([ones.T, corner], 1)])
