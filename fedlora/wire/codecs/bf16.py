"""Bfloat16: half the bytes, eight significant bits, the range of float32."""

from typing import ClassVar

import torch

from fedlora.section import Section
from fedlora.wire.codecs.dense import Dense


class Bf16Config(Section):
    """No options."""


class Bf16(Dense):
    """The upper half of a float32, rounded to nearest.

    Bound: 2^-8 of the largest value, or half the smallest subnormal, 2^-134.
    """

    Config = Bf16Config
    dtype: ClassVar[torch.dtype] = torch.bfloat16
