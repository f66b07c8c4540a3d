"""The default generator: a Gaussian process from task vectors to DeltaW, and how sure it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.errors import FedloraError
from fedlora.generators.blend import Blend, Reach
from fedlora.generators.metric import Metric, candidates, foretold, learned
from fedlora.section import Section

NOISES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class ProcessConfig(Section):
    """What is null is chosen on the bank, by leaving out tasks."""

    noise: float | None = Field(
        None, gt=0, description="of one bank adapter, in variances of the process"
    )
    reach: float = Field(
        0.5, gt=0, description="of a task, in root median squared distances between tasks"
    )
    linear: float = Field(1.0, ge=0, description="variance of the linear part; 0 is purely local")
    neighbours: int | None = Field(
        128, ge=2, description="tasks that an answer is made of, the nearest; all when null"
    )


class KrigingConfig(ProcessConfig):
    """What is null is chosen on the bank, by leaving out tasks.

    That minimises errors of DeltaW, most of which is what an optimiser left there by chance, and
    so smooths more than is good for what adapters are used for: little noise serves tasks better.
    """

    noise: float | None = Field(
        0.1, gt=0, description="of one bank adapter, in variances of the process"
    )
    metric: Metric | None = Field("learned", description="by which task vectors are compared")


@dataclass(frozen=True)
class Process:
    """Covariances k(z, z') = exp(-|z - z'|^2 / (2 reach)) + linear <z, z'> / size."""

    reach: float
    size: float
    linear: float
    neighbours: int | None = None

    @classmethod
    def of(cls, known: Tensor, config: ProcessConfig) -> Self:
        """On the scale of task vectors (t, d); of vectors that are all the same, on any."""
        pairs = torch.pdist(known.double()) ** 2
        usual = float(pairs.median()) or float(pairs.max()) or 1.0
        size = float((known.double() ** 2).sum(1).mean()) or 1.0
        return cls(config.reach**2 * usual, size, config.linear, config.neighbours)

    def observed(self, known: Tensor, noise: float) -> Tensor:
        """Covariances (t, t) of observations at known (t, d), noise included."""
        known = known.double()
        return self._kernel(known, known) + noise * torch.eye(len(known), dtype=torch.float64)

    def krige(self, asked: Tensor, known: Tensor, noise: float) -> tuple[Tensor, Tensor]:
        """Weights (m, t) of known (t, d) for asked (m, d), and variances (m,) of an observation.

        From the `neighbours` nearest alone where there are more, others weighing nothing (a moving
        neighbourhood, Chiles and Delfiner 2012, section 3.6).
        """
        asked, known = asked.double(), known.double()
        if not self.neighbours or self.neighbours >= len(known):
            return self._from_all(asked, known, noise)
        near = torch.cdist(asked, known).topk(self.neighbours, largest=False).indices
        weights, variances = asked.new_zeros(len(asked), len(known)), asked.new_zeros(len(asked))
        for row, places in enumerate(near.sort(1).values):
            found, variance = self._from_all(asked[row : row + 1], known[places], noise)
            weights[row, places], variances[row] = found[0], variance[0]
        return weights, variances

    def _from_all(self, asked: Tensor, known: Tensor, noise: float) -> tuple[Tensor, Tensor]:
        system = bordered(self.observed(known, noise))
        towards = self._kernel(asked, known)
        right = torch.cat([towards, torch.ones_like(towards[:, :1])], dim=1)
        solved = torch.linalg.solve(system, right.T).T
        own = 1 + self.linear * (asked**2).sum(1) / self.size
        return solved[:, :-1], own + noise - (solved * right).sum(1)

    def _kernel(self, one: Tensor, two: Tensor) -> Tensor:
        local: Tensor = torch.exp(-(torch.cdist(one, two) ** 2) / (2 * self.reach))
        whole: Tensor = local + self.linear * (one @ two.T) / self.size
        return whole


class Kriging(Blend):
    """Ordinary kriging of DeltaW over task vectors z (Cressie 1993, section 3.2).

    k(z, z') = exp(-|z - z'|^2 / (2 reach^2 m)) + linear <z, z'> / s, where m is the median of
    |z - z'|^2 over pairs of the bank's tasks and s the mean of |z|^2. The local part interpolates;
    the linear part adds up what factors do that were seen apart. With K = k + noise I,

        w(z) = K^-1 (k(z) + (1 - 1^T K^-1 k(z)) / (1^T K^-1 1) 1),

    which sums to one, so that far from the bank the local part falls back to the bank's mean.
    z is standardised, or in a metric that the bank has learned. The noise and the metric, where not
    given, minimise the error of DeltaW over tasks foretold from others: each from all others, in
    closed form, where vectors are standardised and all tasks answer; a part of the bank at a time
    where a metric may be learned, which must not have seen them, or the nearest answer.
    """

    Config: ClassVar[type[ProcessConfig]] = KrigingConfig
    least_tasks = 2

    left_out_errors: tuple[Tensor, Tensor]
    """Foretold and real |error|^2 (t,) of the tasks left out, as `foretold_error`; after a fit."""

    @override
    def learn(self, products: Tensor) -> None:
        if not bool(self.known.any()):
            raise FedloraError(
                "all task vectors of the bank are equal: describe tasks by their own"
            )
        size = products.diagonal().mean()
        best = torch.inf
        for metric in self.metrics(len(products)):
            foresee = self._foreseen(metric, products)
            for noise in (self.config.noise,) if self.config.noise else NOISES:
                misses, variances = foresee(noise)
                errors = torch.sum((misses @ products) * misses, dim=1)
                error = float(errors.sum() / products.trace())
                if error < best:
                    best, chosen = error, metric
                    # what a unit of variance meant on the bank, in squared norms of an adapter
                    unit = float(errors.mean() / variances.mean() / size)
                    self.left_out_errors = variances * unit, errors / size
                    self.facts |= {"noise": noise, "left_out_error": error, "error_unit": unit}
        if chosen == "learned":
            self.compare_by(learned(self.conditions, products))
        process = Process.of(self.known, self.config)
        self.facts |= {"reach": process.reach, "size": process.size}
        self.facts["learned"] = float(chosen == "learned")

    def metrics(self, tasks: int) -> Sequence[Metric]:
        """Those among which the bank chooses."""
        return candidates(self.config.metric, tasks)

    @override
    def weigh(self, conditions: Tensor) -> Tensor:
        weights, _ = self._process.krige(conditions, self.known, self.facts["noise"])
        return weights

    @override
    def reach(self, condition: Tensor) -> Reach:
        error = float(self.foretold_error(condition[None]))
        return replace(super().reach(condition), error=error)

    def foretold_error(self, conditions: Tensor, joined: Tensor | None = None) -> Tensor:
        """Expected |error|^2 of DeltaW for task vectors (m, c), in mean squared norms of the bank.

        The kriging variance (Cressie 1993, equation 3.2.16) times what a unit of it came to over
        the bank's tasks, each foretold from the others.

        joined: (j, c), further task vectors, as if adapters of theirs were in the bank.
        """
        known = self.known if joined is None else torch.cat([self.known, self.view(joined)])
        _, variances = self._process.krige(self.view(conditions), known, self.facts["noise"])
        return variances * self.facts["error_unit"]

    @property
    def _process(self) -> Process:
        config = self.config
        return Process(self.facts["reach"], self.facts["size"], config.linear, config.neighbours)

    def _foreseen(
        self, metric: Metric, products: Tensor
    ) -> Callable[[float], tuple[Tensor, Tensor]]:
        """By the noise: misses (t, t) of the tasks foretold from others, and variances (t,)."""
        few = not self.config.neighbours or len(products) <= self.config.neighbours
        if few and self.metrics(len(products)) == ("plain",):  # no rival is judged in parts
            process = Process.of(self.known, self.config)
            return lambda noise: left_out(process.observed(self.known, noise))
        folds = [
            (fold, Process.of(fold.known, self.config))
            for fold in foretold(self.conditions, products, metric)
        ]

        def in_parts(noise: float) -> tuple[Tensor, Tensor]:
            misses = -torch.eye(len(products), dtype=torch.float64)
            variances = torch.empty(len(products), dtype=torch.float64)
            for fold, process in folds:
                weights, variances[fold.held] = process.krige(fold.asked, fold.known, noise)
                misses[fold.held[:, None], fold.kept] += weights
            return misses, variances

        return in_parts


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
