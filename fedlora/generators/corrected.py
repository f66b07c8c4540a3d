"""Retrieval, and what a network that sees the neighbours adds to it where that helps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora import seeding
from fedlora.generators import store
from fedlora.generators.blend import distances
from fedlora.generators.components import Components
from fedlora.generators.condition import main_axes
from fedlora.generators.contract import Progress
from fedlora.generators.correction import CorrectionConfig, CorrectionNetwork, Neighbourhood
from fedlora.generators.learner import Columns, Plan, identity
from fedlora.generators.metric import Metric
from fedlora.generators.topk import RetrievalConfig, TopK


class CorrectedConfig(RetrievalConfig):
    """The retrieval that is corrected, the network, and how its worth is found out."""

    k: int | None = Field(None, ge=1, description="tasks averaged")
    seen: int = Field(8, ge=1, description="nearest tasks that the network sees")
    components: int = Field(16, ge=1, description="principal components of DeltaW")
    condition_components: int = Field(16, ge=1, description="principal components of conditions")
    folds: int = Field(4, ge=2, description="parts of the bank, each foretold from the others")
    network: CorrectionConfig = CorrectionConfig()
    training: Plan = Plan(epochs=300)


@dataclass(frozen=True)
class Correction:
    """A trained network and the tasks that it was trained on; `extra` is what it adds."""

    around: Neighbourhood
    network: CorrectionNetwork

    @torch.no_grad()
    def extra(self, own: Tensor, apart: Tensor, base: Tensor) -> Tensor:
        """Weights (m, t) float64 to add to those of the mean; the arguments of `around`."""
        delta: Tensor = self.network(*self.around.around(own, apart, base))
        return delta.double() @ self.around.directions.T


class Corrected(TopK):
    """DeltaW(c) = sum_t w_t(c) DeltaW_t + share * sum_j delta_j(c, neighbours) component_j.

    The first sum is top-k retrieval. The network learns on the bank's tasks, each beside its
    neighbours among the others, what their mean misses, in principal components of DeltaW; these
    are combinations of the bank's adapters, so the answer is one as well. It begins as zero. Its
    share is found by cross-validation over tasks: the one of [0, 1] with the smallest squared error
    of DeltaW, and 0 where the gain is within its standard error. So this is retrieval unless the
    bank itself shows that more can be had.
    """

    Config = CorrectedConfig
    least_tasks = 4

    @override
    def metrics(self, tasks: int) -> Sequence[Metric]:
        """Not a learned one: the cross-validation below would have to learn it anew."""
        return ("plain",)

    @override
    def train(self, products: Tensor, *, seed: int, workdir: Path, progress: Progress) -> None:
        tasks = len(products)
        self._axes = main_axes(self.known, self.config.condition_components)
        deal = torch.randperm(tasks, generator=seeding.generator(seed, "folds"))
        base, extra = torch.zeros_like(products), torch.zeros_like(products)
        for number, held in enumerate(deal.tensor_split(min(self.config.folds, tasks))):
            kept = torch.tensor([i for i in range(tasks) if i not in set(held.tolist())])
            part = seeding.derive(seed, "fold", number)
            folder = workdir / f"fold-{number}"
            correction = self._learn(products, kept, part, folder, lambda _: None)
            asked = self.known[held]
            apart = distances(asked, self.known[kept])
            mean = self.mean(apart)
            added = correction.extra(asked @ self._axes, apart, mean)
            base[held[:, None], kept], extra[held[:, None], kept] = mean, added
        self._judge(base - torch.eye(tasks, dtype=torch.float64), extra, products)
        everything = torch.arange(tasks)
        self._correction = self._learn(products, everything, seed, workdir, progress)

    @override
    def weigh(self, conditions: Tensor) -> Tensor:
        apart = distances(conditions, self.known)
        base = self.mean(apart)
        extra = self._correction.extra(conditions @ self._axes, apart, base)
        return base + self.facts["share"] * extra

    @override
    def trained(self) -> dict[str, Tensor]:
        parts = {
            "around": self._correction.around.tensors(),
            "network": self._correction.network.state_dict(),
            "condition": {"axes": self._axes},
        }
        return store.join(parts)

    @override
    def recover(self, tensors: Mapping[str, Tensor]) -> None:
        parts = store.parts(tensors)
        self._axes = parts["condition"]["axes"]
        around = Neighbourhood.load(parts["around"])
        network = self._network(around)
        network.load_state_dict(parts["network"])
        self._correction = Correction(around, network.eval())

    def _learn(
        self, products: Tensor, rows: Tensor, seed: int, workdir: Path, progress: Progress
    ) -> Correction:
        """The correction of these tasks, each foretold from the others of them."""
        from fedlora.generators.training import train  # Lightning takes seconds to import

        found = Components.of(products[rows][:, rows], self.config.components)
        known = self.known[rows]
        around = Neighbourhood(
            known @ self._axes, found.points.float(), found.unit * found.weights, self.config.seen
        )
        apart = distances(known, known).fill_diagonal_(torch.inf)
        base = self.mean(apart, most=len(rows) - 1)
        wanted = around.points - base.float() @ around.points
        columns = (*around.around(around.conditions, apart, base), wanted)
        network = train(
            lambda: self._network(around),
            Columns(*columns),
            self.config.training,
            seed=seed,
            identity=identity(self.config, seed, *columns),
            workdir=workdir,
            progress=progress,
        )
        return Correction(around, network)

    def _network(self, around: Neighbourhood) -> CorrectionNetwork:
        widths = around.conditions.shape[1], around.points.shape[1]
        return CorrectionNetwork(*widths, self.config.network)

    def _judge(self, misses: Tensor, extra: Tensor, products: Tensor) -> None:
        """The share, and what it is worth on tasks that were left out, into the facts.

        misses: (t, t) of retrieval alone; |misses + share * extra|^2 is a parabola in the share.
        """
        slope = torch.sum((misses @ products) * extra, dim=1)
        bend = torch.sum((extra @ products) * extra, dim=1)
        share = float((-slope.sum() / bend.sum().clamp_min(1e-300)).clamp(0, 1))
        gains = -(2 * share * slope + share**2 * bend)
        if not float(gains.mean()) > float(gains.std()) / len(gains) ** 0.5:
            share, gains = 0.0, torch.zeros_like(gains)
        whole = products.trace()
        before = torch.sum((misses @ products) * misses) / whole
        self.facts |= {
            "share": share,
            "retrieval_error": float(before),
            "corrected_error": float(before - gains.sum() / whole),
        }
