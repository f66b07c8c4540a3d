"""The honest update in factors that no average survives."""

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.attacks.contract import Attack, Sight
from fedlora.section import Section


class GaugeConfig(Section):
    """factor: c in (c up, down / c)."""

    factor: float = Field(100.0, gt=0)


class Gauge(Attack):
    """(c up, down / c): the same DeltaW, which every check in product space must let pass.

    An average of factors is dominated by it; one of products is not.
    """

    Config = GaugeConfig

    @override
    def adapter(self, sight: Sight) -> LoraAdapter:
        honest, factor = sight.honest, self.config.factor
        down = {name: tensor / factor for name, tensor in honest.down.items()}
        up = {name: tensor * factor for name, tensor in honest.up.items()}
        return LoraAdapter(honest.spec, down, up, honest.head)
