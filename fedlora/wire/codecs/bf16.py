"""Bfloat16: half the bytes, eight significant bits, the range of float32."""

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.section import Section
from fedlora.wire.codecs import dense
from fedlora.wire.codecs.contract import Codec


class Bf16Config(Section):
    """No options."""


class Bf16(Codec):
    """The upper half of a float32, rounded to nearest."""

    Config = Bf16Config

    def encode(self, adapter: LoraAdapter) -> Tensor:
        """The values as bfloat16, (spec.size * 2,) uint8."""
        return dense.to_bytes(adapter, torch.bfloat16)

    def decode(self, data: Tensor, spec: AdapterSpec) -> LoraAdapter:
        """The inverse of `encode`, back in float32."""
        return dense.from_bytes(data, torch.bfloat16, spec)

    def error_bound(self, adapter: LoraAdapter) -> float:
        """2^-8 of the largest value, or half the smallest subnormal, 2^-134."""
        return dense.rounding_bound(adapter, torch.bfloat16)
