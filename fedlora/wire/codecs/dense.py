"""Every value in one floating-point format, little-endian, nothing else."""

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.errors import FedloraError
from fedlora.wire.codecs.contract import Codec, Shapes, check_length, size_of


class Dense(Codec):
    """What the floating-point codecs share; `dtype` is all that tells them apart."""

    dtype: ClassVar[torch.dtype]

    @override
    def pack(self, values: Tensor, shapes: Shapes) -> Tensor:
        rounded = values.to(self.dtype)
        if not bool(torch.isfinite(rounded).all()):
            raise FedloraError(
                f"adapter holds a value beyond {torch.finfo(self.dtype).max:.4g}, the largest"
                f" that {self.dtype} can carry: choose the codec 'none'"
            )
        return rounded.contiguous().view(torch.uint8)

    @override
    def unpack(self, data: Tensor, shapes: Shapes) -> Tensor:
        check_length(data, self.most(shapes))
        # A copy, since a slice of a frame need not be aligned to the width of `dtype`.
        return data.clone().view(self.dtype).to(torch.float32)

    @override
    def most(self, shapes: Shapes) -> int:
        return size_of(shapes) * self.dtype.itemsize

    @override
    def bound(self, values: Tensor, shapes: Shapes) -> float:
        """Half a unit in the last place of the largest value.

        |x - fl(x)| <= max(u |x|, s / 2), where u is half the machine epsilon and s the smallest
        subnormal number (Higham 2002, Accuracy and Stability of Numerical Algorithms, theorem
        2.2 and section 2.1).
        """
        info = torch.finfo(self.dtype)
        largest = float(values.abs().max())
        return max(info.eps / 2 * largest, info.smallest_normal * info.eps / 2)
