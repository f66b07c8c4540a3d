"""Retrieval: the adapter of the bank's most similar task."""

from dataclasses import replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.generators.blend import Blend, distances, usual_distances
from fedlora.generators.contract import TrainingBank
from fedlora.section import Section

REACHED = 0.95
"""The share of the bank's tasks that lie within its reach, so that no odd one sets it."""


class NearestConfig(Section):
    """Retrieval of one task has no options."""


class Nearest(Blend):
    """The mean DeltaW of the task nearest in Euclidean distance of standardised task vectors."""

    Config = NearestConfig

    @override
    def learn(self, products: Tensor) -> None:
        apart, usual = usual_distances(self.known)
        reach = float(apart.amin(1).quantile(REACHED)) / usual if len(apart) > 1 else 1.0
        self.facts |= {"usual": usual, "reach": reach if reach > 0 else 1.0}

    @classmethod
    def of(cls, bank: TrainingBank, prompts: int, workdir: Path) -> Self:
        """Fitted to a bank whose task vectors have so many prompts."""
        self = cls(NearestConfig())
        seen = replace(bank, conditions=self.sees(bank.conditions, prompts))
        self.fit(seen, seed=0, workdir=workdir, progress=lambda _: None)
        return self

    def neighbours(self, condition: Tensor, count: int) -> list[tuple[LoraAdapter, float]]:
        """The mean adapters of the nearest tasks, nearest first, with their squared distances.

        Args:
            condition: (c,), a task vector.
            count: tasks at most.

        Returns:
            Distances in units of what is usual between a task of the bank and its nearest.
        """
        apart = distances(self.view(condition[None]), self.known)[0]
        closest, index = apart.topk(min(count, len(apart)), largest=False)
        tasks = torch.eye(len(apart), dtype=torch.float64)[index]
        return list(zip(self.combine(tasks), (closest / self.facts["usual"]).tolist(), strict=True))

    @override
    def weigh(self, conditions: Tensor) -> Tensor:
        nearest = distances(conditions, self.known).argmin(1)
        return torch.nn.functional.one_hot(nearest, len(self.known)).double()
