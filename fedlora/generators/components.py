"""Principal components of a bank's DeltaW, as combinations of its adapters."""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from fedlora.errors import FedloraError

# Below this share of the bank's squared norm, what differs between adapters is rounding.
LEAST_SPREAD = 1e-10


@dataclass(frozen=True)
class Components:
    """DeltaW_i = mean + unit * sum_j x_ij component_j, components orthonormal in product space.

    They come from the Gram matrix of the bank, (n, n), as in kernel PCA (Schoelkopf et al. 1998,
    equation 15), so no DeltaW is formed and the choice of factors does not matter.

    weights: (n, k) float64; component j is sum_i weights_ij DeltaW_i.
    points: (n, k) float64, the bank's own coordinates x.
    unit: the root mean square distance of the bank's adapters from their mean.
    """

    weights: Tensor
    points: Tensor
    unit: float

    @classmethod
    def of(cls, products: Tensor, most: int) -> Self:
        """The first components of n adapters with these inner products (n, n), `most` at most.

        Raises:
            FedloraError: all adapters are the same.
        """
        centred = products - products.mean(0) - products.mean(1, keepdim=True) + products.mean()
        energy, vectors = torch.linalg.eigh(centred)
        energy, vectors = energy.flip(0), vectors.flip(1)
        if energy.sum() <= LEAST_SPREAD * products.trace():
            raise FedloraError(
                "all adapters of the bank are the same: fine-tune them on different tasks"
            )
        kept = min(most, int((energy > LEAST_SPREAD * energy[0]).sum()))
        energy, vectors = energy[:kept], _signed(vectors[:, :kept])
        unit = math.sqrt(float(centred.trace()) / len(products))
        return cls(vectors / energy.sqrt(), vectors * energy.sqrt() / unit, unit)


def _signed(vectors: Tensor) -> Tensor:
    """Columns whose largest entry is positive, since an eigenvector has no sign of its own."""
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    return torch.where(largest < 0, -vectors, vectors)
