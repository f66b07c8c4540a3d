"""Adapters as coordinates on the principal components of the bank's DeltaW."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.lora import tensor_shapes
from fedlora.adapter.product import gram
from fedlora.adapter.span import AdapterSpan
from fedlora.errors import FedloraError
from fedlora.generators.representation.contract import Representation

# A component is itself an update of high rank: it is kept to this many ranks a layer.
BASIS_RANK = 16
# Below this share of the bank's squared norm, what differs between adapters is rounding.
LEAST_SPREAD = 1e-10


class DeltaPca(Representation):
    """DeltaW = mean + unit * sum_j x_j component_j, components orthonormal in product space.

    They come from the Gram matrix of the bank, (n, n), as in kernel PCA (Schoelkopf et al. 1998,
    equation 15), so no DeltaW is formed and the choice of factors does not matter. The mean and
    the components are kept as adapters of rank 16 (or the layer's own limit).
    """

    def __init__(self, spec: AdapterSpec, basis: list[LoraAdapter], unit: float) -> None:
        self._spec, self._basis, self._unit = spec, basis, unit
        self._span = AdapterSpan(basis)

    @override
    @classmethod
    def of(cls, adapters: Sequence[LoraAdapter], components: int) -> tuple[Self, Tensor]:
        n, spec = len(adapters), adapters[0].spec
        products = gram(adapters)
        centred = products - products.mean(0) - products.mean(1, keepdim=True) + products.mean()
        energy, vectors = torch.linalg.eigh(centred)
        energy, vectors = energy.flip(0), vectors.flip(1)
        if energy.sum() <= LEAST_SPREAD * products.trace():
            raise FedloraError(
                "all adapters of the bank are the same: fine-tune them on different tasks"
            )
        kept = min(components, int((energy > LEAST_SPREAD * energy[0]).sum()))
        energy, vectors = energy[:kept], _signed(vectors[:, :kept])
        unit = math.sqrt(float(centred.trace()) / n)
        span, wide = AdapterSpan(adapters), _basis_spec(spec)
        rows = [torch.full((n,), 1 / n, dtype=torch.float64), *(vectors / energy.sqrt()).T]
        basis = [span.combine(weights, wide) for weights in rows]
        return cls(spec, basis, unit), (vectors * energy.sqrt() / unit).float()

    @property
    @override
    def size(self) -> int:
        return len(self._basis) - 1

    @override
    def decode(self, points: Tensor, rank: int | None = None) -> list[LoraAdapter]:
        spec = self._spec if rank is None else self._spec.with_rank(rank)
        ones = torch.ones(len(points), 1, dtype=torch.float64)
        weights = torch.cat([ones, self._unit * points.double()], dim=1)
        return [self._span.combine(row, spec) for row in weights]

    @override
    def tensors(self) -> dict[str, Tensor]:
        names = tensor_shapes(self._basis[0].spec)
        stacked = {name: torch.stack([a.tensors()[name] for a in self._basis]) for name in names}
        return stacked | {"unit": torch.tensor([self._unit], dtype=torch.float64)}

    @override
    @classmethod
    def load(cls, spec: AdapterSpec, tensors: Mapping[str, Tensor]) -> Self:
        wide = _basis_spec(spec)
        names = tensor_shapes(wide)
        basis = [
            LoraAdapter.from_tensors(wide, {name: tensors[name][i] for name in names})
            for i in range(min(len(tensors[name]) for name in names))
        ]
        return cls(spec, basis, float(tensors["unit"]))


def _basis_spec(spec: AdapterSpec) -> AdapterSpec:
    """The same layers at the rank of the components, never below the adapters' own."""
    layers = tuple(
        replace(one, rank=max(one.rank, min(BASIS_RANK, one.d_in, one.d_out)))
        for one in spec.layers
    )
    return replace(spec, layers=layers)


def _signed(vectors: Tensor) -> Tensor:
    """Columns whose largest entry is positive, since an eigenvector has no sign of its own."""
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    return torch.where(largest < 0, -vectors, vectors)
