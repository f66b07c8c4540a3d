"""What to add to the mean of a task's nearest neighbours: a network that sees them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from fedlora.generators.cvae_network import perceptron
from fedlora.generators.learner import Learner
from fedlora.section import Section


class CorrectionConfig(Section):
    """Sizes, and how far a task vector is blurred in training."""

    hidden: int = Field(64, ge=1)
    condition_noise: float = Field(0.2, ge=0, description="of the main condition's spread")


class CorrectionNetwork(Learner):
    """delta = out([mean over neighbours of token(c_n - c, x_n - x, w_n), c]) (Zaheer et al. 2017).

    c, c_n are conditions of the task and of its neighbours, x_n coordinates of their adapters,
    w_n their weights in the mean x = sum_n w_n x_n. The last layer begins as zero, so that an
    untrained network changes nothing.
    """

    def __init__(self, conditions: int, components: int, config: CorrectionConfig) -> None:
        super().__init__()
        self.config = config
        self.token = perceptron(conditions + components + 1, config.hidden, config.hidden)
        self.out = perceptron(config.hidden + conditions, config.hidden, components)
        last = self.out[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    @override
    def forward(self, own: Tensor, near: Tensor, points: Tensor, weights: Tensor) -> Tensor:
        """Corrections (m, j) for conditions (m, p), beside k neighbours of each.

        near (m, k, p) are their conditions, points (m, k, j), weights (m, k).
        """
        mean = torch.sum(weights.unsqueeze(2) * points, dim=1, keepdim=True)
        seen = torch.cat([near - own.unsqueeze(1), points - mean, weights.unsqueeze(2)], dim=2)
        delta: Tensor = self.out(torch.cat([self.token(seen).mean(1), own], dim=1))
        return delta

    @override
    def losses(self, *batch: Tensor, done: float, noise: torch.Generator) -> dict[str, Tensor]:
        """|correction - wanted|^2, the mean over the batch."""
        own, near, points, weights, wanted = batch
        blur = torch.randn(own.shape, generator=noise).to(own)
        own = own + self.config.condition_noise * blur
        miss = torch.sum((self(own, near, points, weights) - wanted) ** 2, dim=1).mean()
        return {"loss": miss}


@dataclass(frozen=True)
class Neighbourhood:
    """Tasks of a bank, as a correction sees them.

    conditions: (t, p) float32, projected.
    points: (t, j) float32, coordinates of their adapters.
    directions: (t, j) float64; a correction delta adds directions @ delta to the weights of tasks.
    seen: how many neighbours the network is shown.
    """

    conditions: Tensor
    points: Tensor
    directions: Tensor
    seen: int

    def around(self, own: Tensor, apart: Tensor, base: Tensor) -> tuple[Tensor, ...]:
        """What the network is given for conditions (m, p), float32.

        apart: (m, t) squared distances, infinite where a task must not be seen.
        base: (m, t) the weights of the mean that is corrected.
        """
        allowed = int(apart.isfinite().sum(1).min())
        index = apart.topk(min(self.seen, allowed), dim=1, largest=False).indices
        weights = base.gather(1, index).float()
        return own, self.conditions[index], self.points[index], weights

    def tensors(self) -> dict[str, Tensor]:
        """All that `load` needs."""
        return {
            "conditions": self.conditions,
            "points": self.points,
            "directions": self.directions,
            "seen": torch.tensor(self.seen),
        }

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor]) -> "Neighbourhood":
        """The inverse of `tensors`; raises KeyError where one is missing."""
        conditions, points, directions = (
            tensors[name] for name in ("conditions", "points", "directions")
        )
        return cls(conditions, points, directions, int(tensors["seen"]))
