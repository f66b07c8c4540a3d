"""Noise in place of an update."""

import torch
from pydantic import Field
from typing_extensions import override

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.attacks.contract import Attack, Sight
from fedlora.attacks.update import moved, update
from fedlora.section import Section


class GaussianConfig(Section):
    """ratio: of the noise's expected length to that of the honest update."""

    ratio: float = Field(10.0, gt=0)


class Gaussian(Attack):
    """w_start + N(0, s^2) value by value (Blanchard et al. 2017, arXiv 1703.02757, section 5).

    The paper's s is 200, which any limit on norms refuses; here it is set by the honest update.
    """

    Config = GaussianConfig

    @override
    def adapter(self, sight: Sight) -> LoraAdapter:
        honest = update(sight.honest, sight.start)
        draw = seeding.generator(sight.seed, "gaussian")
        noise = torch.randn(len(honest), generator=draw, dtype=torch.float64)
        return moved(sight.start, self.config.ratio * honest.square().mean().sqrt() * noise)
