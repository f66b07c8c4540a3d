"""Generators that answer with a linear combination of the bank's own adapters."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.lora import tensor_shapes
from fedlora.adapter.product import gram
from fedlora.adapter.resize import at_one_rank
from fedlora.adapter.span import AdapterSpan
from fedlora.errors import FedloraError
from fedlora.generators import store
from fedlora.generators.bank import check_bank, task_shares
from fedlora.generators.condition import Projection, Standard, View
from fedlora.generators.contract import Generator, Progress, TrainingBank


@dataclass(frozen=True)
class Reach:
    """How well a bank knows a task.

    distance: squared distance of its task vector to the nearest of the bank's, as the generator
        compares them; 1 is what is usual between a task of the bank and its nearest.
    error: expected |error|^2 of DeltaW, in mean squared norms of the bank's adapters; None where a
        generator foretells none.
    """

    distance: float
    error: float | None = None


class Blend(Generator):
    """DeltaW(c) = sum_t w_t(c) DeltaW_t over the tasks t of the bank.

    DeltaW_t is the mean of the task's samples, whatever their ranks; the sum is exact and only
    then truncated to the rank asked for. The condition of a task is the mean of its samples'
    conditions; conditions are standardised over tasks, unless a subclass sees them otherwise. It
    says how the weights follow from the condition.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.facts: dict[str, float] = {}
        self._span: AdapterSpan | None = None  # of the whole bank, once it is needed

    @abstractmethod
    def weigh(self, conditions: Tensor) -> Tensor:
        """Weights (m, t) float64 for conditions (m, d) as they are seen; `self.known` is (t, d)."""

    def learn(self, products: Tensor) -> None:
        """Choose what the config left open, into `self.facts`; products (t, t) of the DeltaW_t."""

    def train(self, products: Tensor, *, seed: int, workdir: Path, progress: Progress) -> None:
        """Train what has to be trained, after `learn`; nothing here."""

    def trained(self) -> dict[str, Tensor]:
        """What `train` came to; nothing here."""
        return {}

    def recover(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `trained`; raises KeyError or RuntimeError where it is incomplete."""

    def compare_by(self, view: View) -> None:
        """See task vectors, the bank's own included, like this from now on."""
        self.view = view
        self.known = view(self.conditions)
        self._usual: float | None = None  # distance between tasks, once it is needed

    @override
    def fit(self, bank: TrainingBank, *, seed: int, workdir: Path, progress: Progress) -> None:
        check_bank(bank, self.least_tasks)
        shares = task_shares(bank.tasks)
        means = shares @ bank.conditions.double()
        products = shares @ gram(bank.adapters) @ shares.T
        if not float(products.trace()) > 0:
            raise FedloraError("every adapter of the bank is zero: fine-tune before learning")
        self._hold(at_one_rank(bank.adapters), shares, means.float(), Standard.of(means))
        self.facts = {}
        self.learn(products)
        self.train(products, seed=seed, workdir=workdir, progress=progress)
        progress(self.facts)

    @override
    def sample(
        self, conditions: Tensor, *, seed: int, rank: int | None = None
    ) -> list[LoraAdapter]:
        return self.combine(self.weigh(self.view(conditions)), rank)

    def reach(self, condition: Tensor) -> Reach:
        """How well the bank knows the task of a condition (c,)."""
        if self._usual is None:
            _, self._usual = usual_distances(self.known)
        apart = distances(self.view(condition[None]), self.known)
        return Reach(float(apart.min()) / self._usual)

    def combine(self, weights: Tensor, rank: int | None = None) -> list[LoraAdapter]:
        """The bank's tasks added up, one adapter for each row of weights (m, t).

        Adapters of no weight are left out of the sum, so that a few neighbours cost no more in a
        large bank than in a small one.
        """
        whole = self._adapters[0].spec
        spec = whole if rank is None else whole.with_rank(rank)
        return [self._add(row, spec) for row in weights @ self._shares]

    def _add(self, weights: Tensor, spec: AdapterSpec) -> LoraAdapter:
        used = weights.nonzero().flatten()
        if 1 <= len(used) <= len(weights) // 2:
            few = AdapterSpan([self._adapters[place] for place in used.tolist()])
            return few.combine(weights[used], spec)
        if self._span is None:
            self._span = AdapterSpan(self._adapters)
        return self._span.combine(weights, spec)

    @override
    def save(self, folder: Path) -> None:
        names = tensor_shapes(self._adapters[0].spec)
        tensors = {
            f"adapters.{name}": torch.stack([a.tensors()[name] for a in self._adapters])
            for name in names
        }
        tensors |= {"shares": self._shares, "conditions": self.conditions}
        tensors |= store.join({"view": self.view.tensors()})
        tensors |= self.trained()
        config, spec = self.config.model_dump(mode="json"), self._adapters[0].spec
        store.write(folder, store.Stored(self.name(), config, spec, self.facts, tensors))

    @classmethod
    @override
    def load(cls, folder: Path) -> Self:
        stored = store.read(folder, cls.name())
        self = cls(cls.Config.model_validate(stored.config))
        tensors = stored.tensors
        names = tensor_shapes(stored.spec)
        adapters = [
            LoraAdapter.from_tensors(
                stored.spec, {name: tensors[f"adapters.{name}"][i] for name in names}
            )
            for i in range(tensors["shares"].shape[1])
        ]
        held = store.parts(tensors)["view"]
        view = (Projection if "axes" in held else Standard).load(held)
        self._hold(adapters, tensors["shares"], tensors["conditions"], view)
        self.facts = dict(stored.facts)
        try:
            self.recover(tensors)
        except (KeyError, RuntimeError) as error:
            raise store.incomplete(folder, error) from None
        return self

    def _hold(
        self, adapters: list[LoraAdapter], shares: Tensor, conditions: Tensor, view: View
    ) -> None:
        self._adapters, self._shares = adapters, shares
        self.conditions = conditions
        self._span = None
        self.compare_by(view)


def usual_distances(known: Tensor) -> tuple[Tensor, float]:
    """Squared distances (t, t) of the bank's task vectors (t, d), and their usual size.

    Infinite from a task to itself; usual is the mean from a task to its nearest, 1 where there is
    none or all are the same.
    """
    apart = distances(known, known).fill_diagonal_(torch.inf)
    nearest = apart.amin(1)
    usual = float(nearest[nearest.isfinite()].mean()) if len(apart) > 1 else 1.0
    return apart, usual if usual > 0 else 1.0


def distances(one: Tensor, two: Tensor) -> Tensor:
    """Squared Euclidean distances (m, t) float64 of vectors (m, w) and (t, w)."""
    apart: Tensor = torch.cdist(one.double(), two.double()) ** 2
    return apart
