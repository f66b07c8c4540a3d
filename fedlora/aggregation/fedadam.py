"""FedAvg of the factors, then a step of Adam on the server."""

from collections.abc import Sequence

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import Aggregator, State
from fedlora.aggregation.flower_step import flower_step
from fedlora.section import Section


class FedAdamConfig(Section):
    """Flower's own options of the strategy; eta in the units of the factors."""

    eta: float = Field(1e-2, gt=0)
    beta_1: float = Field(0.9, ge=0, lt=1)
    beta_2: float = Field(0.99, ge=0, lt=1)
    tau: float = Field(1e-3, gt=0)


class FedAdam(Aggregator):
    """FedAdam (Reddi et al. 2021, arXiv 2003.00295) by `flwr.serverapp.strategy.FedAdam`.

    One rank only. Values of a layer: r (d_in + d_out) up, r (d_in + d_out) down.
    """

    Config = FedAdamConfig
    strategy = "FedAdam"

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        return flower_step(self.strategy, self.config.model_dump(), before, sent, weights)
