"""Four bits a value, evenly spaced, one scale for 64 values."""

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.section import Section
from fedlora.wire.codecs.groups import Grouped

LEVELS = 7


class Int4Config(Section):
    """No options."""


class Int4(Grouped):
    """round(value / scale) from -7 to 7, scale = largest of the group / 7.

    4.25 bits a value, scales included. Bound: half the scale.
    """

    Config = Int4Config
    worst: ClassVar[float] = 0.5 + 1e-4

    @override
    def scale(self, largest: Tensor) -> Tensor:
        return largest / LEVELS

    @override
    def codes(self, ratios: Tensor) -> Tensor:
        return (torch.round(ratios).clamp(-LEVELS, LEVELS) + LEVELS).to(torch.uint8)

    @override
    def ratios(self, codes: Tensor) -> Tensor:
        return codes.to(torch.float32) - LEVELS
