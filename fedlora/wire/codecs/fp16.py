"""Half precision: half the bytes, eleven significant bits."""

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.section import Section
from fedlora.wire.codecs import dense
from fedlora.wire.codecs.contract import Codec


class Fp16Config(Section):
    """No options."""


class Fp16(Codec):
    """IEEE 754 binary16: values up to 65504, rounded to nearest."""

    Config = Fp16Config

    def encode(self, adapter: LoraAdapter) -> Tensor:
        """The values as float16, (spec.size * 2,) uint8."""
        return dense.to_bytes(adapter, torch.float16)

    def decode(self, data: Tensor, spec: AdapterSpec) -> LoraAdapter:
        """The inverse of `encode`, back in float32."""
        return dense.from_bytes(data, torch.float16, spec)

    def error_bound(self, adapter: LoraAdapter) -> float:
        """2^-11 of the largest value, or half the smallest subnormal, 2^-25."""
        return dense.rounding_bound(adapter, torch.float16)
