"""`up` in one round, `down` in the next."""

from typing_extensions import override

from fedlora.adapter.parts import WHOLE, Part
from fedlora.aggregation.contract import Duty
from fedlora.aggregation.fedavg import FedAvg


class RoLora(FedAvg):
    """RoLoRA (Chen et al. 2025, arXiv 2502.01755): odd rounds train `up`, even rounds `down`.

    Exact, since one factor is common in each round. One rank only. Values of a layer: r d_out up
    and r d_in down in odd rounds, the other way round in even ones; a client that missed the
    round before gets both factors.
    """

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
