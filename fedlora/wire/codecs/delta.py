"""The difference to what the other side holds already."""

from typing import Self

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.config import CodecPart
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.wire.codecs.contract import Codec, Shapes


class DeltaConfig(Section):
    """inner: how the difference travels."""

    inner: CodecPart = Field(default_factory=lambda: CodecPart(name="fp16"))


class Delta(Codec):
    """values - reference, through another codec.

    An answer's reference is the adapter that came with the question, a broadcast's the one
    before it (`server/questions.py`). Where there is none it is zero. Bound: the inner codec's
    on the difference, and the rounding of the difference and the sum.
    """

    Config = DeltaConfig
    relative = True

    def __init__(self, config: DeltaConfig) -> None:
        super().__init__(config)
        self.inner: Codec = config.inner.build()
        self.feedback = self.inner.feedback
        self._reference: Tensor | None = None
        if self.inner.relative:
            raise FedloraError("codec.inner: a difference of differences is not one; leave one out")
        if self.inner.measure == "product":
            raise FedloraError(
                "codec.inner: a difference of factors has no product for lowrank; leave one out"
            )

    @override
    def against(self, reference: Tensor) -> Self:
        bound = type(self)(self.config)
        bound._reference = reference
        return bound

    @override
    def pack(self, values: Tensor, shapes: Shapes) -> Tensor:
        difference = values if self._reference is None else values - self._reference
        if not bool(torch.isfinite(difference).all()):
            raise FedloraError("adapter differs from the last one by more than float32 can say")
        data = self.inner.pack(difference, shapes)
        # No codec errs by half of the largest number: smaller values cannot arrive beyond it.
        large = float(values.abs().max()) > torch.finfo(torch.float32).max / 2
        if large and not bool(torch.isfinite(self.unpack(data, shapes)).all()):
            raise FedloraError(
                "adapter holds a value so large that it would overflow where it arrives:"
                " choose the codec 'none'"
            )
        return data

    @override
    def unpack(self, data: Tensor, shapes: Shapes) -> Tensor:
        difference = self.inner.unpack(data, shapes)
        return difference if self._reference is None else self._reference + difference

    @override
    def most(self, shapes: Shapes) -> int:
        return self.inner.most(shapes)

    @override
    def bound(self, values: Tensor, shapes: Shapes) -> float:
        if self._reference is None:
            return self.inner.bound(values, shapes)
        difference = values - self._reference
        rounding = torch.finfo(torch.float32).eps * float(
            values.abs().max() + self._reference.abs().max() + difference.abs().max()
        )
        return self.inner.bound(difference, shapes) + rounding
