"""Adapters as coordinates on the principal components of the bank's DeltaW."""

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
from fedlora.generators.components import Components
from fedlora.generators.representation.contract import Representation

# A component is itself an update of high rank: it is kept to this many ranks a layer.
BASIS_RANK = 16


class DeltaPca(Representation):
    """DeltaW = mean + unit * sum_j x_j component_j, components orthonormal in product space.

    The mean and the components are kept as adapters of rank 16 (or the layer's own limit).
    """

    def __init__(self, spec: AdapterSpec, basis: list[LoraAdapter], unit: float) -> None:
        self._spec, self._basis, self._unit = spec, basis, unit
        self._span = AdapterSpan(basis)

    @override
    @classmethod
    def of(cls, adapters: Sequence[LoraAdapter], components: int) -> tuple[Self, Tensor]:
        spec, found = adapters[0].spec, Components.of(gram(adapters), components)
        span, wide = AdapterSpan(adapters), _basis_spec(spec)
        mean = torch.full((len(adapters),), 1 / len(adapters), dtype=torch.float64)
        basis = [span.combine(weights, wide) for weights in (mean, *found.weights.T)]
        return cls(spec, basis, found.unit), found.points.float()

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
    def product_error(self, adapters: Sequence[LoraAdapter]) -> None:
        """None: components are orthonormal in product space."""

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
