"""Perceptrons as encoder, prior and decoder of a conditional VAE."""

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from fedlora.generators.latent_network import LatentNetwork, LatentTerms, gaussian


class NetworkConfig(LatentTerms):
    """Sizes, and the terms of the loss."""

    hidden: int = Field(128, ge=1)
    prior: Literal["learned", "standard"] = "learned"


class CvaeNetwork(LatentNetwork):
    """One or two hidden layers each; the prior is learned, or the standard normal."""

    def __init__(self, points: int, conditions: int, config: NetworkConfig) -> None:
        super().__init__()
        both, latent, hidden = points + conditions, config.latent, config.hidden
        self.config = config
        self.encoder = perceptron(both, hidden, hidden, 2 * latent)
        self.decoder = perceptron(latent + conditions, hidden, hidden, points)
        self.prior: nn.Module | None = None
        if config.prior == "learned":
            self.prior = perceptron(conditions, hidden, 2 * latent)

    @override
    def encode(self, points: Tensor, conditions: Tensor) -> Tensor:
        both: Tensor = self.encoder(torch.cat([points, conditions], dim=1))
        return both

    @override
    def decode(self, z: Tensor, conditions: Tensor) -> Tensor:
        points: Tensor = self.decoder(torch.cat([z, conditions], dim=1))
        return points

    @override
    def prior_of(self, conditions: Tensor) -> tuple[Tensor, Tensor]:
        if self.prior is None:
            return super().prior_of(conditions)
        return gaussian(self.prior(conditions))


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers of these widths, SiLU between them."""
    steps: list[nn.Module] = []
    for wide, narrow in pairwise(widths):
        steps += [nn.Linear(wide, narrow), nn.SiLU()]
    return nn.Sequential(*steps[:-1])
