"""Norms and shapes of an adapter, which follow from small inner products of its factors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from fedlora.adapter.lora import LoraAdapter


@dataclass(frozen=True, eq=False)
class Grams:
    """Inner products of the columns of `up` and of the rows of `down`, layer by layer.

    up, down: (l, r, r) float64; a layer of a lower rank is filled with zeros, which add nothing.
    scaling: (l,) float64.
    head: sum of the squares of the head's values.
    """

    up: Tensor
    down: Tensor
    scaling: Tensor
    head: float

    @classmethod
    def of(cls, adapter: LoraAdapter) -> "Grams":
        """Of an adapter, at a cost of (d_in + d_out) r^2 a layer."""
        layers = adapter.spec.layers
        ups = [adapter.up[layer.name].double() for layer in layers]
        downs = [adapter.down[layer.name].double() for layer in layers]
        return cls(
            _stacked([up.T @ up for up in ups]),
            _stacked([down @ down.T for down in downs]),
            torch.tensor([adapter.spec.scaling(x) for x in layers], dtype=torch.float64),
            float(sum(torch.sum(value.double() ** 2) for value in adapter.head.values())),
        )

    def layer_norms(self) -> Tensor:
        """Frobenius norm of each layer's DeltaW, (l,): |up down|^2 = tr(up^T up down down^T)."""
        squares = (self.up * self.down).sum((1, 2))
        return self.scaling * squares.clamp_min(0.0).sqrt()

    def norm(self) -> float:
        """Frobenius norm over all layers and the head."""
        return math.sqrt(float(self.layer_norms().square().sum()) + self.head)

    def effective_rank(self) -> float:
        """(sum_k s_k^2)^2 / sum_k s_k^4, s being the singular values of DeltaW; a layer's mean.

        From 1, where one direction has all, to the rank, where all have as much; 0 for an adapter
        of zeros. With P = up^T up and Q = down down^T, sum s^2 = tr(P Q) and
        sum s^4 = tr(P Q P Q), so that no singular value is computed; scalings cancel.
        """
        both = self.up @ self.down
        second = both.diagonal(dim1=1, dim2=2).sum(1)
        fourth = (both * both.mT).sum((1, 2))
        return float(torch.where(fourth > 0, second**2 / fourth, 0.0).mean())

    def factor_norms(self) -> tuple[float, float]:
        """Norm of all `up` together, and of all `down`; without scalings."""
        up, down = (_traces(gram).sum().clamp_min(0.0).sqrt() for gram in (self.up, self.down))
        return float(up), float(down)

    def excess(self) -> float:
        """The most that |up| |down| is of |up down| in any layer: 1 to sqrt(r) in balanced factors.

        (up G, G^-1 down) has the same product for every G, and this tells any G but a multiple of
        a rotation, which the ratio of the norms of the factors tells. 1 for an adapter of zeros.
        """
        apart = self.scaling * (_traces(self.up) * _traces(self.down)).sqrt()
        whole = self.layer_norms()
        return float(torch.where(whole > 0, apart / whole, 1.0).max())


def _stacked(grams: Sequence[Tensor]) -> Tensor:
    most = max(len(gram) for gram in grams)
    missing = [most - len(gram) for gram in grams]
    return torch.stack(
        [pad(g, (0, m, 0, m)) if m else g for g, m in zip(grams, missing, strict=True)]
    )


def _traces(grams: Tensor) -> Tensor:
    return grams.diagonal(dim1=1, dim2=2).sum(1)
