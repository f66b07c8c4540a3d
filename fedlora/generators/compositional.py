"""Tasks that combine factors: the effects of levels add up, in combinations never seen as well."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.generators.condition import main_axes
from fedlora.generators.contract import Progress, TrainingBank
from fedlora.generators.effects import Effects
from fedlora.generators.factors_of_tasks import Factors, Structure
from fedlora.generators.kriging import NOISES, Kriging, ProcessConfig
from fedlora.generators.metric import Metric

SMOOTH = (0.0, 1.0, 2.0)
LEAST_SPREAD = 1e-3
"""Of a condition's error, in the spread of the main condition: none is known exactly."""


class CompositionalConfig(ProcessConfig):
    """What is null is chosen on the bank, by leaving out one task at a time."""

    structure: Literal["additive", "tensor"] | None = Field(
        None, description="effects of levels alone, or of their combinations as well"
    )
    smooth: float | None = Field(
        None, ge=0, description="steps over which levels that are numbers are alike; 0 is none"
    )
    condition_components: int = Field(24, ge=1, description="principal components of conditions")


class Compositional(Kriging):
    """DeltaW(c) = sum_cells p(cell | c) DeltaW(cell), cells being combinations of levels.

    The names of the bank's tasks say which level of each factor a task has. Ordinary kriging over
    cells, with the covariance of `Factors.likeness`, foretells for every cell, seen or not, both
    DeltaW and the task vector c: additive, where an effect of each factor's level adds up, or
    tensor, with effects of their combinations beside these. A newcomer's cell is told by its task
    vector: p(cell | c) is proportional to exp(-sum_j (c_j - c_j(cell))^2 / (2 s_j^2)) over the
    main directions j of task vectors, s_j^2 the mean squared error of c_j over tasks left out.
    Where names tell nothing that tasks share, this is kriging; `foretold_error` is so in any case.
    """

    Config = CompositionalConfig

    @override
    def fit(self, bank: TrainingBank, *, seed: int, workdir: Path, progress: Progress) -> None:
        self._factors = Factors.of(sorted(set(bank.tasks)))
        super().fit(bank, seed=seed, workdir=workdir, progress=progress)

    @override
    def metrics(self, tasks: int) -> Sequence[Metric]:
        """Not a learned one: cells are told by vectors that have seen no DeltaW."""
        return ("plain",)

    @override
    def learn(self, products: Tensor) -> None:
        super().learn(products)
        self.facts["cells"] = 0.0
        if self._factors is None:
            return
        self._axes = main_axes(self.known, self.config.condition_components)
        known = (self.known @ self._axes).double()
        given = self.config.noise
        options = self._options((given,) if given else NOISES)
        effects = Effects.of(self._factors, products, options)
        seen = Effects.of(self._factors, known @ known.T, self._options(NOISES))
        cells = self._factors.cells()
        self._weights, self._centres = effects.weights(cells), seen.weights(cells) @ known
        self._spread = (seen.misses @ known).square().mean(0).sqrt().clamp_min(LEAST_SPREAD)
        self.facts |= {
            "cells": float(len(cells)),
            "interactions": float(effects.structure.interactions),
            "smooth": effects.structure.smooth,
            "cell_noise": effects.noise,
            "left_out_error": effects.error,
            "vector_error": seen.error,
        }

    @override
    def weigh(self, conditions: Tensor) -> Tensor:
        if not self.facts["cells"]:
            return super().weigh(conditions)
        asked = (conditions @ self._axes).double() / self._spread
        apart = torch.cdist(asked, self._centres / self._spread) ** 2
        return torch.softmax(-apart / 2, dim=1) @ self._weights

    @override
    def trained(self) -> dict[str, Tensor]:
        if not self.facts["cells"]:
            return {}
        return {
            "cells.axes": self._axes,
            "cells.centres": self._centres,
            "cells.spread": self._spread,
            "cells.weights": self._weights,
        }

    @override
    def recover(self, tensors: Mapping[str, Tensor]) -> None:
        if self.facts["cells"]:
            self._axes, self._centres = tensors["cells.axes"], tensors["cells.centres"]
            self._spread, self._weights = tensors["cells.spread"], tensors["cells.weights"]

    def _options(self, noises: Sequence[float]) -> Iterator[tuple[Structure, float]]:
        """What may be chosen: the configuration's, or all of what it leaves open."""
        given, smooth = self.config.structure, self.config.smooth
        kinds = (given == "tensor",) if given else (False, True)
        widths = SMOOTH if smooth is None else (smooth,)
        for interactions, width, noise in product(kinds, widths, noises):
            yield Structure(interactions, width), noise
