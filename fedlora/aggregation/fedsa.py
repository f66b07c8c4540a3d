"""A shared `down`, and an `up` that never leaves its client."""

from typing_extensions import override

from fedlora.adapter.parts import Parts
from fedlora.aggregation.contract import Duty
from fedlora.aggregation.fedavg import FedAvg


class FedSa(FedAvg):
    """FedSA-LoRA (Guo et al. 2024, arXiv 2410.01463): `down` is averaged, `up` stays at home.

    Exact for each client's own product, up_i mean(down) = mean_j(up_i down_j). The server never
    sees an `up`: a client that joins starts from zero. One rank only. Values of a layer: r d_in
    up, r d_in down.
    """

    @override
    def duty(self, round: int) -> Duty:
        parts: Parts = ("down", "head")
        return Duty(sends=parts, gets=parts, keeps=("up",))
