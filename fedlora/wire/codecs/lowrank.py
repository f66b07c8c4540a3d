"""An adapter of a smaller rank in its place."""

import math
from dataclasses import replace
from typing import Literal

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.product import distance, norm
from fedlora.adapter.resize import resize
from fedlora.config import CodecPart
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.wire.codecs.contract import Codec, Shapes, check_finite

SMALLEST = 2.0**-149
"""The smallest number of float32, by which the tiniest factors are rounded."""


class LowRankConfig(Section):
    """How much is kept.

    rank: of what travels; layers of a smaller rank keep theirs.
    inner: how the smaller factors travel.
    """

    rank: int = Field(2, ge=1)
    inner: CodecPart = Field(default_factory=lambda: CodecPart(name="none"))


class LowRank(Codec):
    """The best approximation of DeltaW of a rank, through another codec (Eckart and Young 1936).

    It arrives as an adapter of the rank it had, in balanced form. Half an adapter has no product
    and travels as the inner codec would send it.

    Bound, in product space: the singular values left out, and what the inner codec's error e a
    value makes of the product, scaling (|up| |E| + |E| |down| + |E| |E|) with |E| = e sqrt(n).
    """

    Config = LowRankConfig
    measure: Literal["value", "product"] = "product"

    def __init__(self, config: LowRankConfig) -> None:
        super().__init__(config)
        self.inner: Codec = config.inner.build()
        self.feedback = False
        if self.inner.relative or self.inner.measure == "product":
            raise FedloraError(
                f"codec.inner: '{config.inner.name}' cannot follow lowrank, whose factors are"
                " new every time; put a quantiser there"
            )

    @override
    def encode(self, adapter: LoraAdapter) -> Tensor:
        check_finite(adapter.flatten())
        return self.inner.encode(self._small(adapter))

    @override
    def decode(self, data: Tensor, spec: AdapterSpec) -> LoraAdapter:
        return resize(self.inner.decode(data, self._spec(spec)), spec)

    @override
    def error_bound(self, adapter: LoraAdapter) -> float:
        small = self._small(adapter)
        error = self.inner.error_bound(small) + SMALLEST
        square = small.spec.head_size * error**2
        for layer in small.spec.layers:
            up, down = small.up[layer.name].double(), small.down[layer.name].double()
            of_up, of_down = (error * math.sqrt(factor.numel()) for factor in (up, down))
            product = float(up.norm()) * of_down + of_up * float(down.norm()) + of_up * of_down
            square += (small.spec.scaling(layer) * product) ** 2
        # Arriving, it is balanced once more, in float32.
        return distance(adapter, small) + math.sqrt(square) + 1e-5 * norm(adapter)

    @override
    def pack(self, values: Tensor, shapes: Shapes) -> Tensor:
        return self.inner.pack(values, shapes)

    @override
    def unpack(self, data: Tensor, shapes: Shapes) -> Tensor:
        return self.inner.unpack(data, shapes)

    @override
    def most(self, shapes: Shapes) -> int:
        return self.inner.most(shapes)

    @override
    def bound(self, values: Tensor, shapes: Shapes) -> float:
        return self.inner.bound(values, shapes)

    def _small(self, adapter: LoraAdapter) -> LoraAdapter:
        return resize(adapter, self._spec(adapter.spec))

    def _spec(self, spec: AdapterSpec) -> AdapterSpec:
        layers = (replace(x, rank=min(x.rank, self.config.rank)) for x in spec.layers)
        return replace(spec, layers=tuple(layers))
