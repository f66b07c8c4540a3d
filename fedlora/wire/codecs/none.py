"""Float32 as it is."""

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.section import Section
from fedlora.wire.codecs import dense
from fedlora.wire.codecs.contract import Codec


class UncodedConfig(Section):
    """No options."""


class Uncoded(Codec):
    """Four bytes a value, bit for bit."""

    Config = UncodedConfig

    def encode(self, adapter: LoraAdapter) -> Tensor:
        """The values as float32, (spec.size * 4,) uint8."""
        return dense.to_bytes(adapter, torch.float32)

    def decode(self, data: Tensor, spec: AdapterSpec) -> LoraAdapter:
        """The inverse of `encode`, back in float32."""
        return dense.from_bytes(data, torch.float32, spec)

    def error_bound(self, adapter: LoraAdapter) -> float:  # noqa: ARG002 - the same for all
        """Nothing is lost."""
        return 0.0
