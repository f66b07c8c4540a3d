"""FedAvg of the factors, each client held near where it started."""

from pydantic import Field
from typing_extensions import override

from fedlora.aggregation.contract import Duty
from fedlora.aggregation.fedavg import FedAvg
from fedlora.section import Section


class FedProxConfig(Section):
    """mu: how strongly."""

    mu: float = Field(0.1, ge=0)


class FedProx(FedAvg):
    """Clients minimise F_i(w) + mu / 2 |w - w_start|^2 (Li et al. 2020, arXiv 1812.06127).

    The distance is that of the factors and the head. Averaging and bytes are those of fedavg.
    """

    Config = FedProxConfig  # type: ignore[assignment]

    @override
    def duty(self, round: int) -> Duty:
        return Duty(pull=self.config.mu)
