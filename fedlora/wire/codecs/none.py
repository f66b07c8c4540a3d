"""Float32 as it is."""

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.section import Section
from fedlora.wire.codecs.contract import Shapes
from fedlora.wire.codecs.dense import Dense


class UncodedConfig(Section):
    """No options."""


class Uncoded(Dense):
    """Four bytes a value, bit for bit."""

    Config = UncodedConfig
    dtype: ClassVar[torch.dtype] = torch.float32

    @override
    def bound(self, values: Tensor, shapes: Shapes) -> float:
        """Nothing is lost."""
        return 0.0
