"""`up` in one round, `down` in the next."""

from collections.abc import Sequence
from dataclasses import replace

from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adapter.parts import WHOLE, Part
from fedlora.aggregation.contract import Aggregator, Duty, State
from fedlora.aggregation.fedavg import mean_factors
from fedlora.section import Section


class RoLoraConfig(Section):
    """No options."""


class RoLora(Aggregator):
    """RoLoRA (Chen et al. 2025, arXiv 2502.01755): odd rounds train `up`, even rounds `down`.

    Exact, since one factor is common in each round. One rank only. Values of a layer: r d_out up
    and r d_in down in odd rounds, the other way round in even ones; a client that missed the
    round before gets both factors.
    """

    Config = RoLoraConfig

    @override
    def duty(self, round: int) -> Duty:
        halves: tuple[Part, Part] = ("up", "down") if round % 2 else ("down", "up")
        trained, rested = halves
        return Duty(
            trains=(trained,),
            sends=(trained, "head"),
            gets=(rested, "head"),
            keeps=("down", "up"),
            gets_late=WHOLE,
        )

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        return replace(before, common=mean_factors(sent, weights))
