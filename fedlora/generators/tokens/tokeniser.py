"""Adapter to tokens and back, bit for bit."""

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.errors import FedloraError
from fedlora.generators.tokens.layout import TokensConfig, places


class Tokeniser:
    """A token is a piece of a matrix, z-scored, beside its own mean and log2 of its own scale.

    So a decoder that emits tokens generates the scales as well, as in Drag-and-Drop LLMs
    (arXiv 2506.16406, section 3.2). Nothing is ever cut off, and `decode(encode(a))` is `a`:
    statistics are kept in float64, and a piece that rounding would not give back (it holds values
    far below its mean, or zeros) is divided by a power of two alone.

    Attributes:
        tokens: S, of every adapter of the spec.
        entries: D, numbers in a token.
        mask: (S, D) bool, False on padding.

    Raises:
        FedloraError: the adapter needs more than `max_tokens` tokens.
    """

    def __init__(self, spec: AdapterSpec, config: TokensConfig) -> None:
        self.spec, self.config = spec, config
        index = places(spec, config)
        needed, most = len(index), config.max_tokens
        if most is not None and needed > most:
            raise FedloraError(
                f"max_tokens={most}: an adapter of {spec.size} values needs"
                f" {needed} tokens of {config.entries} entries; raise it to {needed} or leave it"
                " out"
            )
        empty = index.new_full(((most or needed) - needed, index.shape[1]), spec.size)
        self._index = torch.cat([index, empty])
        self._present = self._index < spec.size
        self.tokens, self.entries = len(self._index), config.entries
        filled = self._present.any(1, keepdim=True).expand(-1, self.entries - index.shape[1])
        self.mask = torch.cat([self._present, filled], dim=1)

    @property
    def values(self) -> int:
        """Entries of a token that are values; those after them are its statistics."""
        return self._index.shape[1]

    def encode(self, adapter: LoraAdapter) -> Tensor:
        """(S, D) float64; padding is 0.

        Raises:
            FedloraError: the adapter is of another spec.
        """
        if adapter.spec != self.spec:
            raise FedloraError("adapter of other layers, rank or alpha than the tokeniser's")
        flat = torch.cat([adapter.flatten(), torch.zeros(1)])
        raw = flat[self._index]
        values, count = raw.double(), self._present.sum(1, keepdim=True).clamp(min=1)
        mean = values.sum(1, keepdim=True) / count
        away = torch.where(self._present, values - mean, 0.0)
        spread = (away.square().sum(1, keepdim=True) / count).sqrt()
        log = torch.where(spread > 0, spread.clamp(min=1e-300).log2(), 0.0)
        z = away / log.exp2()
        inexact = (_bits(z * log.exp2() + mean) != raw.view(torch.int32)) & self._present
        if bool((lost := inexact.any(1)).any()):
            largest = values[lost].abs().amax(1, keepdim=True)
            log[lost] = torch.where(largest > 0, largest.clamp(min=1e-300).log2().ceil(), 0.0)
            mean[lost] = -0.0  # adding it leaves even the sign of a zero alone
            z[lost] = values[lost] / log[lost].exp2()
        repeats = self.config.repeats
        return torch.cat([z, mean.expand(-1, repeats), log.expand(-1, repeats)], dim=1)

    def decode(self, tokens: Tensor) -> LoraAdapter:
        """The adapter of tokens (S, D) of any floating-point type, padding ignored.

        Raises:
            FedloraError: tokens of another shape, or whose values are not finite.
        """
        if tokens.shape != self.mask.shape:
            raise FedloraError(
                f"tokens of shape {tuple(tokens.shape)}, but adapters of this spec are"
                f" {tuple(self.mask.shape)}"
            )
        z, statistics = tokens.double().tensor_split([self.values], dim=1)
        mean, log = (_one(part) for part in statistics.chunk(2, dim=1))
        # float32 ends at 2^128: a decoder's larger scale is no scale
        values = (z * log.clamp(-160.0, 128.0).exp2() + mean).float()
        flat = values.new_empty(self.spec.size)
        flat[self._index[self._present]] = values[self._present]
        return LoraAdapter.from_flat(self.spec, flat)


def _one(said: Tensor) -> Tensor:
    """(S, 1): a statistic that a token says several times; where all agree, exactly that."""
    first = said[:, :1]
    return torch.where((said == first).all(1, keepdim=True), first, said.mean(1, keepdim=True))


def _bits(values: Tensor) -> Tensor:
    return values.float().view(torch.int32)
