"""One common `down`, never trained."""

from typing_extensions import override

from fedlora.aggregation.contract import Duty
from fedlora.aggregation.fedavg import FedAvg


class Ffa(FedAvg):
    """FFA-LoRA (Sun et al. 2024, arXiv 2403.12313): `down` as drawn from the run's seed, for ever.

    Exact, since mean(up) down = mean(up down). One rank only. Values of a layer: r d_out up,
    r d_out down.
    """

    @override
    def duty(self, round: int) -> Duty:
        return Duty(trains=("up",), sends=("up", "head"), gets=("up", "head"))
