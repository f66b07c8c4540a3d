"""Flower's trimmed mean, of the factors."""

from collections.abc import Sequence

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import Aggregator, State
from fedlora.aggregation.flower_step import flower_rule
from fedlora.section import Section


class FedTrimmedAvgConfig(Section):
    """beta: the share that is cut off at each end."""

    beta: float = Field(0.2, ge=0, lt=0.5)


class FedTrimmedAvg(Aggregator):
    """`down` and `up` by `flwr.serverapp.strategy.FedTrimmedAvg`: a control for `trimmed_mean`.

    Other factors of the same DeltaW give another mean. One rank only.
    """

    Config = FedTrimmedAvgConfig

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        return flower_rule("FedTrimmedAvg", self.config.model_dump(), before, sent, weights)
