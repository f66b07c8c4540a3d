"""What a miss of factors does to DeltaW."""

import math

import torch
from torch import Tensor, nn
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LayerSpec
from fedlora.adapter.lora import tensor_shapes

Named = dict[str, Tensor]


class ProductError(nn.Module):
    """|DeltaW(made) - DeltaW(true)|^2 / unit of flattened factors, heads beside DeltaW.

    mean, spread: (k,), the factors of a point x are mean + x spread.
    unit: the bank's mean squared distance from its mean DeltaW, so that an error of one is as much
        as making the mean of everything; the points' own mean squared error has the same unit.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, spec: AdapterSpec, mean: Tensor, spread: Tensor, unit: float) -> None:
        super().__init__()
        self._spec, self._shapes, self._unit = spec, tensor_shapes(spec), unit
        # the bank's, and saved with the representation
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("spread", spread, persistent=False)

    @override
    def forward(self, made: Tensor, true: Tensor) -> Tensor:
        """Of points (n, k) each, (n,); in float32 whatever precision a training has."""
        with torch.autocast(made.device.type, enabled=False):
            miss = (made.float() - true) * self.spread
            own, to = self.mean + made.float() * self.spread, self.mean + true * self.spread
            named = self._named(miss), self._named(own), self._named(to)
            squares = [self._square(layer, *named) for layer in self._spec.layers]
            heads = [named[0][f"head.{n}"].flatten(1).square().sum(1) for n, _ in self._spec.head]
            return torch.stack([*squares, *heads]).sum(0) / self._unit

    def _square(self, layer: LayerSpec, miss: Named, made: Named, true: Named) -> Tensor:
        """|DeltaW(made) - DeltaW(true)|^2 of one layer, (n,).

        The difference is scaling [up_miss up_true] [down_made; down_miss], whose squared norm is
        tr(P Q), P and Q being the inner products (2r, 2r) of its two sides; no small miss is the
        difference of large numbers.
        """
        up, down = f"{layer.name}.up", f"{layer.name}.down"
        left, right = torch.cat([miss[up], true[up]], 2), torch.cat([made[down], miss[down]], 1)
        inner = (left.mT @ left) * (right @ right.mT)
        return self._spec.scaling(layer) ** 2 * inner.sum((1, 2))

    def _named(self, flat: Tensor) -> Named:
        """The tensors of flattened adapters (n, k), (n, *shape) each."""
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        parts = zip(self._shapes.items(), flat.split(sizes, dim=1), strict=True)
        return {name: part.reshape(-1, *shape) for (name, shape), part in parts}
