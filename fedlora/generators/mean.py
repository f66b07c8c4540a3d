"""The plain average: what any newcomer would get that is not asked about its task."""

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.generators.blend import Blend
from fedlora.section import Section


class MeanConfig(Section):
    """The average has no options."""


class Mean(Blend):
    """The uniform average of DeltaW over the tasks of the bank, whatever the condition."""

    Config = MeanConfig

    @override
    def weigh(self, conditions: Tensor) -> Tensor:
        tasks = len(self.known)
        return torch.full((len(conditions), tasks), 1 / tasks, dtype=torch.float64)
