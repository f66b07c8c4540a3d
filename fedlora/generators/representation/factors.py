"""Adapters as their own factors, brought into one gauge and one scale."""

import math
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.canonical import canonicalise
from fedlora.adapter.lora import tensor_shapes
from fedlora.adapter.product import gram
from fedlora.adapter.resize import resize
from fedlora.errors import FedloraError
from fedlora.generators.representation.contract import Representation
from fedlora.generators.representation.product_error import ProductError


class Factors(Representation):
    """x = (factors - mean) / (spread sqrt(k)), factors canonicalised over the bank.

    mean: (k,) the mean of the aligned factors, entry by entry.
    spread: (k,) the root mean square of what is left, one number a tensor (module and layer),
        from the bank alone; a tensor that never varies keeps spread zero and decodes to its mean.
    """

    def __init__(self, spec: AdapterSpec, mean: Tensor, spread: Tensor) -> None:
        self._spec, self._mean, self._spread = spec, mean, spread

    @override
    @classmethod
    def of(cls, adapters: Sequence[LoraAdapter], components: int) -> tuple[Self, Tensor]:
        spec = adapters[0].spec
        aligned, _ = canonicalise(adapters)
        flat = torch.stack([adapter.flatten() for adapter in aligned])
        mean = flat.double().mean(0)
        sizes = [math.prod(shape) for shape in tensor_shapes(spec).values()]
        away = (flat.double() - mean).split(sizes, dim=1)
        rest = [float(part.square().mean().sqrt()) for part in away]
        least = [1e-6 * float(part.abs().max()) for part in flat.split(sizes, dim=1)]
        spreads = [r if r > low else 0.0 for r, low in zip(rest, least, strict=True)]
        if not any(spreads):
            raise FedloraError(
                "all adapters of the bank are the same: fine-tune them on different tasks"
            )
        spread = torch.repeat_interleave(torch.tensor(spreads), torch.tensor(sizes))
        points = torch.where(spread > 0, (flat - mean.float()) / spread, 0.0)
        varying = int((spread > 0).sum())
        return cls(spec, mean.float(), spread * math.sqrt(varying)), points / math.sqrt(varying)

    @property
    @override
    def size(self) -> int:
        return len(self._mean)

    @override
    def decode(self, points: Tensor, rank: int | None = None) -> list[LoraAdapter]:
        whole = [
            LoraAdapter.from_flat(self._spec, self._mean + row * self._spread) for row in points
        ]
        if rank is None:
            return whole
        return [resize(adapter, self._spec.with_rank(rank)) for adapter in whole]

    @override
    def product_error(self, adapters: Sequence[LoraAdapter]) -> ProductError:
        products = gram(adapters)
        unit = float(products.diagonal().mean() - products.mean())
        return ProductError(self._spec, self._mean, self._spread, unit)

    @override
    def tensors(self) -> dict[str, Tensor]:
        return {"mean": self._mean, "spread": self._spread}

    @override
    @classmethod
    def load(cls, spec: AdapterSpec, tensors: Mapping[str, Tensor]) -> Self:
        mean, spread = tensors["mean"], tensors["spread"]
        if mean.shape != (spec.size,) or spread.shape != (spec.size,):
            raise FedloraError(f"statistics of {len(mean)} values for adapters of {spec.size}")
        return cls(spec, mean, spread)
