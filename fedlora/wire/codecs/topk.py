"""The largest values alone, and where they stand."""

import math

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.config import CodecPart
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.wire.codecs import rice
from fedlora.wire.codecs.contract import Codec, Shapes, size_of


class TopKConfig(Section):
    """What is kept and how.

    fraction: of the values that are kept.
    inner: how they travel.
    feedback: whether what was left out is added to what is sent next.
    """

    fraction: float = Field(0.1, gt=0, le=1)
    inner: CodecPart = Field(default_factory=lambda: CodecPart(name="fp16"))
    feedback: bool = True


class TopK(Codec):
    """The k values of largest magnitude, k a fraction of all; the others arrive as zero.

    Positions take near their entropy, so that a tenth of the values in fp16 is 2.08 bits a value.
    Of equal magnitudes the first is kept. Useful on differences (`delta`), with error feedback
    (Stich et al. 2018, arXiv 1809.07599). Bound: the largest value left out, or the inner
    codec's.
    """

    Config = TopKConfig

    def __init__(self, config: TopKConfig) -> None:
        super().__init__(config)
        self.inner: Codec = config.inner.build()
        self.feedback = config.feedback
        if self.inner.relative or self.inner.measure == "product":
            raise FedloraError(
                f"codec.inner: '{config.inner.name}' does not know which values topk keeps;"
                " put topk inside it"
            )

    @override
    def pack(self, values: Tensor, shapes: Shapes) -> Tensor:
        kept = self._kept(values)
        positions = torch.frombuffer(bytearray(rice.write(kept.numpy())), dtype=torch.uint8)
        return torch.cat([positions, self.inner.pack(values[kept], [(len(kept),)])])

    @override
    def unpack(self, data: Tensor, shapes: Shapes) -> Tensor:
        size = size_of(shapes)
        count = self._count(size)
        positions, used = rice.read(data.numpy(), count, size)
        values = torch.zeros(size)
        values[torch.from_numpy(positions)] = self.inner.unpack(data[used:], [(count,)])
        return values

    @override
    def most(self, shapes: Shapes) -> int:
        size = size_of(shapes)
        count = self._count(size)
        return rice.most(count, size) + self.inner.most([(count,)])

    @override
    def bound(self, values: Tensor, shapes: Shapes) -> float:
        kept = self._kept(values)
        left = values.abs().index_fill(0, kept, 0.0)
        return max(float(left.max()), self.inner.bound(values[kept], [(len(kept),)]))

    def _kept(self, values: Tensor) -> Tensor:
        order = np.argsort(-values.abs().numpy(), kind="stable")
        return torch.from_numpy(np.sort(order[: self._count(len(values))]))

    def _count(self, size: int) -> int:
        fraction: float = self.config.fraction
        return max(math.ceil(fraction * size), 1)
