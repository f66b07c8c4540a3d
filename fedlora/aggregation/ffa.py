"""One common `down`, never trained."""

from collections.abc import Sequence
from dataclasses import replace

from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import Aggregator, Duty, State
from fedlora.aggregation.fedavg import mean_factors
from fedlora.section import Section


class FfaConfig(Section):
    """No options."""


class Ffa(Aggregator):
    """FFA-LoRA (Sun et al. 2024, arXiv 2403.12313): `down` as drawn from the run's seed, for ever.

    Exact, since mean(up) down = mean(up down). One rank only. Values of a layer: r d_out up,
    r d_out down.
    """

    Config = FfaConfig

    @override
    def duty(self, round: int) -> Duty:
        return Duty(trains=("up",), sends=("up", "head"), gets=("up", "head"))

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        return replace(before, common=mean_factors(sent, weights))
