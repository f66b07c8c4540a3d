"""Half precision: half the bytes, eleven significant bits."""

from typing import ClassVar

import torch

from fedlora.section import Section
from fedlora.wire.codecs.dense import Dense


class Fp16Config(Section):
    """No options."""


class Fp16(Dense):
    """IEEE 754 binary16: values up to 65504, rounded to nearest.

    Bound: 2^-11 of the largest value, or half the smallest subnormal, 2^-25.
    """

    Config = Fp16Config
    dtype: ClassVar[torch.dtype] = torch.float16
