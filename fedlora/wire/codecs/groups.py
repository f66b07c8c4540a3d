"""Four bits a value in groups of 64 that share a scale: what int4 and nf4 have in common."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.wire.codecs.contract import Codec, Shapes, check_length, size_of

GROUP = 64


class Grouped(Codec):
    """Scales as bfloat16, which has the range of float32, then two codes a byte.

    4 + 16 / 64 = 4.25 bits a value; the last group may be short. The first value of a pair lies
    in the low half of its byte.

    worst: the largest error of a value, in units of its group's scale.
    """

    worst: ClassVar[float]

    @abstractmethod
    def scale(self, largest: Tensor) -> Tensor:
        """A scale (g,) for groups whose largest magnitudes are these (g,)."""

    @abstractmethod
    def codes(self, ratios: Tensor) -> Tensor:
        """The codes 0 to 15, uint8, nearest to values in units of their scale."""

    @abstractmethod
    def ratios(self, codes: Tensor) -> Tensor:
        """The values, float32, that codes stand for in units of their scale."""

    @override
    def pack(self, values: Tensor, shapes: Shapes) -> Tensor:
        groups, scales = self._grouped(values)
        whole = torch.where(scales > 0, scales.float(), 1.0)[:, None]
        codes = self.codes(groups / whole).reshape(-1)[: len(values)]
        codes = torch.nn.functional.pad(codes, (0, len(codes) % 2))
        return torch.cat([scales.view(torch.uint8), codes[0::2] | codes[1::2] << 4])

    @override
    def unpack(self, data: Tensor, shapes: Shapes) -> Tensor:
        check_length(data, self.most(shapes))
        size = size_of(shapes)
        head = 2 * -(-size // GROUP)
        scales = data[:head].clone().view(torch.bfloat16).to(torch.float32)
        pairs = data[head:]
        codes = torch.stack([pairs & 15, pairs >> 4], 1).reshape(-1)[:size]
        return self.ratios(codes) * scales.repeat_interleave(GROUP)[:size]

    @override
    def most(self, shapes: Shapes) -> int:
        size = size_of(shapes)
        return 2 * -(-size // GROUP) + -(-size // 2)

    @override
    def bound(self, values: Tensor, shapes: Shapes) -> float:
        """`worst` of the largest scale, and what the tiniest scales lose as subnormal numbers."""
        groups, scales = self._grouped(values)
        lost = float(groups[scales == 0].abs().max()) if bool((scales == 0).any()) else 0.0
        return max(self.worst * float(scales.float().max()) + 8 * 2.0**-134, lost)

    def _grouped(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Groups (g, 64), the last one filled with zeros, and their scales (g,)."""
        groups = torch.nn.functional.pad(values, (0, -len(values) % GROUP)).reshape(-1, GROUP)
        scales = self.scale(groups.abs().amax(1)).clamp_max(torch.finfo(torch.bfloat16).max)
        return groups, scales.to(torch.bfloat16)
