"""Tokens on one scale, by the bank's own statistics."""

import math
from collections.abc import Mapping
from typing import Literal, Self

import torch
from torch import Tensor

from fedlora.errors import FedloraError
from fedlora.generators.tokens.tokeniser import Tokeniser

Weighting = Literal["uniform", "energy"]
# Below this share of the largest entry, what differs between adapters is rounding.
LEAST_SPREAD = 1e-6


class TokenScale:
    """x = (token - mean) / spread, statistics of the training bank alone.

    mean: (S, D) over the bank, entry by entry.
    spread: (S, 3) root mean square of what is left: one number for a token's values, one for its
        mean, one for the log of its scale; 0 for a part that never varies, which decodes to its
        mean. Padding is such a part.
    """

    def __init__(self, tokeniser: Tokeniser, mean: Tensor, spread: Tensor) -> None:
        self.tokeniser, self.mean, self.spread = tokeniser, mean, spread
        repeats = tokeniser.config.repeats
        self._sizes = torch.tensor([tokeniser.values, repeats, repeats])
        self._wide = spread.repeat_interleave(self._sizes, dim=1) * tokeniser.mask

    @classmethod
    def of(cls, tokeniser: Tokeniser, tokens: Tensor) -> Self:
        """From the bank's tokens (n, S, D).

        Raises:
            FedloraError: all adapters of the bank are the same.
        """
        mean = tokens.mean(0)
        parts = [tokeniser.values, *[tokeniser.config.repeats] * 2]
        spreads = []
        for part, whole, mask in zip(
            (tokens - mean).split(parts, dim=2),
            tokens.split(parts, dim=2),
            tokeniser.mask.split(parts, dim=1),
            strict=True,
        ):
            count = mask.sum(1).clamp(min=1) * len(tokens)
            rest = ((part * mask).square().sum((0, 2)) / count).sqrt()
            spreads.append(torch.where(rest > LEAST_SPREAD * whole.abs().amax((0, 2)), rest, 0.0))
        spread = torch.stack(spreads, dim=1)
        if not bool(spread.any()):
            raise FedloraError(
                "all adapters of the bank are the same: fine-tune them on different tasks"
            )
        return cls(tokeniser, mean.float(), spread.float())

    def normalise(self, tokens: Tensor) -> Tensor:
        """(..., S, D) float32, 0 where the bank never varies."""
        away = tokens - self.mean
        return torch.where(self._wide > 0, away / self._wide, 0.0).float()

    def restore(self, normalised: Tensor) -> Tensor:
        """The inverse of `normalise`, (..., S, D) float32."""
        return self.mean + normalised * self._wide

    def weights(self, weighting: Weighting, by_token: Tensor | float = 1.0) -> Tensor:
        """(S, D) weights of the loss, summing to one; 0 on padding and on what never varies.

        by_token: (S, 1), a factor of each token's.

        Raises:
            FedloraError: nothing that varies weighs anything.
        uniform: every entry alike.
        energy: by what an entry's error does to the adapter's own values, to first order
            v = z 2^log + mean: so tokens that hardly vary in the bank hardly count.
        """
        varying = (self._wide > 0).double() * by_token
        if weighting == "energy":
            size = self.mean[:, -1:].double().exp2()
            # A mean and a scale move as many values as the token has, padding left out.
            filled = self.tokeniser.mask[:, : self.tokeniser.values].sum(1, keepdim=True).double()
            share = (filled / self.tokeniser.config.repeats).sqrt()
            parts = torch.cat([size, share, math.log(2) * size * share], dim=1)
            wide = parts.repeat_interleave(self._sizes, dim=1)
            varying = varying * (wide * self._wide.double()).square()
        if not bool(varying.any()):
            raise FedloraError(
                "generator.token_weights: all above 0 are of tokens in which the bank's adapters do"
                " not differ; weigh others"
            )
        return (varying / varying.sum()).float()

    def tensors(self) -> dict[str, Tensor]:
        """All that `load` needs beside the tokeniser."""
        return {"mean": self.mean, "spread": self.spread}

    @classmethod
    def load(cls, tokeniser: Tokeniser, tensors: Mapping[str, Tensor]) -> Self:
        """The inverse of `tensors`.

        Raises:
            FedloraError, KeyError: tensors are missing or of another shape.
        """
        mean, spread = tensors["mean"], tensors["spread"]
        if mean.shape != tokeniser.mask.shape or spread.shape != (tokeniser.tokens, 3):
            raise FedloraError(
                f"statistics of tokens {tuple(mean.shape)}, but adapters of this spec are"
                f" {tuple(tokeniser.mask.shape)}"
            )
        return cls(tokeniser, mean, spread)
