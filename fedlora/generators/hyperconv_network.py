"""The decoder of hyper-convolutions: encodings of prompts in, tokens of an adapter out."""

import math
from itertools import pairwise
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import override

from fedlora.generators.learner import Learner
from fedlora.section import Section


class DecoderConfig(Section):
    """Sizes of the decoder and the terms of its loss.

    cascade: the LoRA Parameter Generator: the prompts are expanded to all tokens at once, then
        blocks of ConvW -> ConvH -> ConvL.
    branches: Drag-and-Drop LLMs (arXiv 2506.16406, section 3.4): each block lengthens the
        sequence, and takes the mean of a W -> H branch, an H -> W branch and what came in before
        its convolution along the sequence.
    """

    variant: Literal["cascade", "branches"] = "cascade"
    blocks: int = Field(3, ge=1)
    hidden: int = Field(128, ge=4, description="width of a token inside the decoder")
    kernel: int = Field(3, ge=1, description="of every convolution; odd")
    mse_weight: float = Field(1.0, ge=0)
    l1_weight: float = Field(0.1, ge=0)
    condition_noise: float = Field(0.1, ge=0, description="of the main condition's spread")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel}: a convolution keeps its length if it is odd")
        if self.mse_weight == self.l1_weight == 0:
            raise ValueError("mse_weight and l1_weight are both 0: nothing would be learned")
        return self


class HyperConvNetwork(Learner):
    """Prompts (b, g, k) -> projection -> expander -> blocks -> projection -> tokens (b, S, D).

    The last projection starts at zero, so that training starts at the mean of the bank.

    weights: (S, D) of the loss, summing to one.
    """

    def __init__(self, group: int, features: int, weights: Tensor, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        tokens, entries = weights.shape
        lengths = sequence_lengths(group, tokens, config)
        self.project = nn.Linear(features, config.hidden)
        self.expand = nn.Conv1d(group, lengths[0], 1)
        self.blocks = nn.Sequential(
            *(HyperConvBlock(shorter, longer, config) for shorter, longer in pairwise(lengths))
        )
        self.emit = nn.Linear(config.hidden, entries)
        nn.init.zeros_(self.emit.weight)
        nn.init.zeros_(self.emit.bias)
        self.register_buffer("weights", weights, persistent=False)

    @override
    def forward(self, prompts: Tensor) -> Tensor:
        """Normalised tokens (b, S, D)."""
        tokens: Tensor = self.emit(self.blocks(self.expand(self.project(prompts))))
        return tokens

    @override
    def losses(self, *batch: Tensor, done: float, noise: torch.Generator) -> dict[str, Tensor]:
        """mse_weight * MSE + l1_weight * L1, weighted means over entries that are not padding.

        Beside them the mean absolute error, the root of the MSE, and the relative error
        |made - target| / |target|, all of normalised tokens. Prompts are blurred in training, so
        that near prompts have near adapters.
        """
        targets, prompts = batch
        if self.training:
            blur = torch.randn(prompts.shape, generator=noise).to(prompts)
            prompts = prompts + self.config.condition_noise * blur
        miss = self(prompts) - targets
        assert isinstance(self.weights, Tensor)
        mse = (miss.square() * self.weights).sum((1, 2)).mean()
        l1 = (miss.abs() * self.weights).sum((1, 2)).mean()
        size = (targets.square() * self.weights).sum((1, 2)).mean()
        mask = self.weights > 0
        return {
            "loss": self.config.mse_weight * mse + self.config.l1_weight * l1,
            "mse": mse.detach(),
            "l1": l1.detach(),
            "mae": (miss.detach().abs() * mask).sum() / (mask.sum() * len(miss)),
            "rmse": mse.detach().sqrt(),
            "relative_error": (mse.detach() / size.clamp(min=1e-12)).sqrt(),
        }


class HyperConvBlock(nn.Module):
    """Convolutions along the width, the height and the sequence of tokens (b, L, hidden).

    A token is seen as an image of hidden entries, as square as they allow; the tokens are its
    channels along width and height. Along the sequence, the entries are the channels. Residual
    where the length does not change.
    """

    def __init__(self, shorter: int, longer: int, config: DecoderConfig) -> None:
        super().__init__()
        self.config, k = config, config.kernel
        self.image = as_square(config.hidden)
        self.width = nn.Conv2d(shorter, longer, (1, k), padding=(0, k // 2))
        self.height = nn.Conv2d(longer, longer, (k, 1), padding=(k // 2, 0))
        if config.variant == "branches":
            self.height_first = nn.Conv2d(shorter, longer, (k, 1), padding=(k // 2, 0))
            self.width_second = nn.Conv2d(longer, longer, (1, k), padding=(0, k // 2))
            self.through = nn.Conv1d(shorter, longer, 1) if shorter != longer else nn.Identity()
        self.along = nn.Conv1d(config.hidden, config.hidden, k, padding=k // 2)
        self.before, self.after = nn.LayerNorm(config.hidden), nn.LayerNorm(config.hidden)
        self.bend = nn.GELU()

    @override
    def forward(self, tokens: Tensor) -> Tensor:
        grid = self.before(tokens).unflatten(2, self.image)
        made = self.height(self.bend(self.width(grid))).flatten(2)
        if self.config.variant == "branches":
            other = self.width_second(self.bend(self.height_first(grid))).flatten(2)
            made = (made + other + self.through(grid.flatten(2))) / 3
        made = self.along(self.bend(self.after(made)).transpose(1, 2)).transpose(1, 2)
        out: Tensor = made + tokens if made.shape == tokens.shape else made
        return out


def sequence_lengths(group: int, tokens: int, config: DecoderConfig) -> list[int]:
    """Tokens in front of each block and behind the last."""
    if config.variant == "cascade":
        return [tokens] * (config.blocks + 1)
    steps = [i / config.blocks for i in range(config.blocks)]
    return [round(group ** (1 - done) * tokens**done) for done in steps] + [tokens]


def as_square(entries: int) -> tuple[int, int]:
    """Height and width of an image with that many entries, the height at most the width."""
    height = next(h for h in range(math.isqrt(entries), 0, -1) if entries % h == 0)
    return height, entries // height
