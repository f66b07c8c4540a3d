"""One-dimensional convolutions over a flattened adapter, as ICM-LoRA has them."""

import math
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from fedlora.generators.latent_network import LatentNetwork, LatentTerms

STRIDE = 2


class IcmNetworkConfig(LatentTerms):
    """As published: twelve convolutions down to the latent, and as many up again."""

    latent: int = Field(256, ge=1)
    kl_weight: float = Field(0.005, ge=0)
    kl_warm_up: float = Field(0.0, ge=0, le=1, description="share of the training")
    condition_noise: float = Field(0.0, ge=0, description="of the main condition's spread")
    kernel: int = Field(7, ge=3, description="width of every convolution, odd")
    channels: tuple[int, ...] = Field(
        (8, 16, 32, 64, 128, 256, 256, 128, 64, 32, 16, 8), min_length=1
    )


class IcmNetwork(LatentNetwork):
    """Conv1d, BatchNorm and LeakyReLU halve the length; ConvTranspose1d and ELU double it again.

    Mean and log-variance are linear in [h; c], what the last convolution leaves beside the
    condition; the first state of the decoder is linear in [z; c]. The prior is the standard normal.
    Points are padded with zeros to a length that can be halved so often, and have variance one
    inside the network, so that the loss is the published mean square error.
    """

    def __init__(self, points: int, conditions: int, config: IcmNetworkConfig) -> None:
        super().__init__()
        self.config, self._points = config, points
        whole = STRIDE ** len(config.channels)
        # two positions at least: a batch of one sample has then a variance to normalise by
        self._length = max(2, math.ceil(points / whole))
        self._padded = self._length * whole
        narrow, padding = config.channels[-1], config.kernel // 2
        down: list[nn.Module] = []
        for before, after in pairwise((1, *config.channels)):
            down += [
                nn.Conv1d(before, after, config.kernel, STRIDE, padding),
                nn.BatchNorm1d(after),
                nn.LeakyReLU(),
            ]
        up: list[nn.Module] = []
        for before, after in pairwise((*reversed(config.channels), 1)):
            up += [
                nn.ConvTranspose1d(before, after, config.kernel, STRIDE, padding, STRIDE - 1),
                nn.ELU(),
            ]
        self.down, self.up = nn.Sequential(*down), nn.Sequential(*up[:-1])
        state = narrow * self._length
        self.to_latent = nn.Linear(state + conditions, 2 * config.latent)
        self.from_latent = nn.Linear(config.latent + conditions, state)

    @override
    def encode(self, points: Tensor, conditions: Tensor) -> Tensor:
        scaled = points * math.sqrt(self._points)
        padded = nn.functional.pad(scaled, (0, self._padded - self._points))
        state = self.down(padded.unsqueeze(1)).flatten(1)
        both: Tensor = self.to_latent(torch.cat([state, conditions], dim=1))
        return both

    @override
    def decode(self, z: Tensor, conditions: Tensor) -> Tensor:
        state = self.from_latent(torch.cat([z, conditions], dim=1))
        values: Tensor = self.up(state.view(len(z), -1, self._length)).squeeze(1)
        return values[:, : self._points] / math.sqrt(self._points)
