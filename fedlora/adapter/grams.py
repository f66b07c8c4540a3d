"""Norms and shapes of adapters, which follow from small inner products of their factors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from fedlora.adapter.lora import LoraAdapter


@dataclass(frozen=True, eq=False)
class Grams:
    """Inner products of the columns of `up` and of the rows of `down`, of n adapters with l layers.

    up, down: (n, l, r, r) float64; a layer of a lower rank is filled with zeros, which add nothing.
    scaling: (n, l) float64.
    head: (n,) float64, sums of the squares of the heads' values.
    """

    up: Tensor
    down: Tensor
    scaling: Tensor
    head: Tensor

    @classmethod
    def of(cls, adapters: Sequence[LoraAdapter]) -> "Grams":
        """Of adapters of one place, at a cost of (d_in + d_out) r^2 each and layer."""
        names = [layer.name for layer in adapters[0].spec.layers]
        rank = max(layer.rank for adapter in adapters for layer in adapter.spec.layers)
        ups = [_gram([a.up[name].T for a in adapters], rank) for name in names]
        downs = [_gram([a.down[name] for a in adapters], rank) for name in names]
        scalings = [[a.spec.scaling(layer) for layer in a.spec.layers] for a in adapters]
        heads = [sum(float(v.double().square().sum()) for v in a.head.values()) for a in adapters]
        return cls(
            torch.stack(ups, dim=1),
            torch.stack(downs, dim=1),
            torch.tensor(scalings, dtype=torch.float64),
            torch.tensor(heads, dtype=torch.float64),
        )

    def layer_norms(self) -> Tensor:
        """Frobenius norm of each layer's DeltaW, (n, l).

        |up down|^2 = tr(up^T up down down^T).
        """
        squares = (self.up * self.down).sum((2, 3))
        return self.scaling * squares.clamp_min(0.0).sqrt()

    def norms(self) -> Tensor:
        """Frobenius norm over all layers and the head, (n,)."""
        return (self.layer_norms().square().sum(1) + self.head).sqrt()

    def effective_ranks(self) -> Tensor:
        """(sum_k s_k^2)^2 / sum_k s_k^4, s being the singular values of DeltaW; layers' mean, (n,).

        From 1, where one direction has all, to the rank, where all have as much; 0 for an adapter
        of zeros. With P = up^T up and Q = down down^T, sum s^2 = tr(P Q) and
        sum s^4 = tr(P Q P Q), so that no singular value is computed; scalings cancel.
        """
        both = self.up @ self.down
        fourth = (both * both.mT).sum((2, 3))
        return torch.where(fourth > 0, _traces(both) ** 2 / fourth, 0.0).mean(1)

    def factor_norms(self) -> tuple[Tensor, Tensor]:
        """Norm of all `up` of an adapter together, and of all `down`, (n,); without scalings."""
        return _traces(self.up).sum(1).sqrt(), _traces(self.down).sum(1).sqrt()

    def excess(self) -> Tensor:
        """The most that |up| |down| is of |up down| in any layer, (n,); 1 for an adapter of zeros.

        1 to sqrt(r) in balanced factors. (up G, G^-1 down) has the same product for every G, and
        this tells any G but a multiple of a rotation, which the ratio of the norms of the factors
        tells.
        """
        apart = self.scaling * (_traces(self.up) * _traces(self.down)).sqrt()
        least = (1e-12 * apart).clamp_min(1e-300)  # of factors that cancel out, a huge one
        return torch.where(apart > 0, apart / self.layer_norms().maximum(least), 1.0).amax(1)


def _gram(factors: Sequence[Tensor], rank: int) -> Tensor:
    """Inner products of the rows of each factor (r, d), filled with zeros to (n, rank, rank)."""
    filled = [
        rows if len(rows) == rank else pad(rows, (0, 0, 0, rank - len(rows))) for rows in factors
    ]
    stacked = torch.stack(filled).double()
    return stacked @ stacked.mT


def _traces(grams: Tensor) -> Tensor:
    return grams.diagonal(dim1=-2, dim2=-1).sum(-1)
