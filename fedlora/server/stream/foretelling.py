"""A generator in a stream: it learns from the branches so far where the next may start."""

import torch

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.continual.start import nearest_start
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.server.stream.context import Plan, StreamContext

LEAST = 2
"""Branches that a generator learns from at least."""


class Foreteller:
    """Gives each step's branch its start, given the mean feature of the step's tasks.

    It is fitted anew at every step on the branches before it, so that a run that is told again
    tells the same. Without `continual.generator` branches start as they were designed, at zero.
    """

    def __init__(self, context: StreamContext, plan: Plan) -> None:
        self._context, self._plan = context, plan
        self._branches: list[LoraAdapter] = []
        self._tasks: list[list[int]] = []

    def start(self, designed: LoraAdapter, step: int, tasks: list[int]) -> LoraAdapter:
        """A designed branch, moved as far towards what is foretold as its `down` allows.

        Raises:
            FedloraError: the generator cannot learn from the branches so far.
        """
        part, context = self._context.continual.generator, self._context
        if part is None or len(self._branches) < LEAST:
            return designed
        generator: Generator = part.build()
        known = torch.stack([self._vector(tasks) for tasks in self._tasks])
        names = ["+".join(self._plan.tasks[task] for task in tasks) for tasks in self._tasks]
        generator.fit(
            TrainingBank(self._branches, generator.sees(known, 1), names),
            seed=seeding.derive(context.seed, "foreteller", step),
            workdir=context.folder / "checkpoints" / f"foreteller-{step}",
            progress=lambda _: None,
        )
        asked = generator.sees(self._vector(tasks)[None], 1)
        rank = max(layer.rank for layer in designed.spec.layers)
        (foretold,) = generator.sample(asked, seed=context.seed, rank=rank)
        return nearest_start(designed, foretold)

    def learn(self, branch: LoraAdapter, tasks: list[int]) -> None:
        """Remember a step's trained branch."""
        self._branches.append(branch)
        self._tasks.append(tasks)

    def _vector(self, tasks: list[int]) -> torch.Tensor:
        return torch.stack([self._plan.vectors[task] for task in tasks]).mean(0)
