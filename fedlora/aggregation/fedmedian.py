"""Flower's median, of the factors."""

from collections.abc import Sequence

from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import Aggregator, State
from fedlora.aggregation.flower_step import flower_rule
from fedlora.section import Section


class FedMedianConfig(Section):
    """No options."""


class FedMedian(Aggregator):
    """`down` and `up` by `flwr.serverapp.strategy.FedMedian`: a control for `median`.

    Other factors of the same DeltaW give another median. One rank only.
    """

    Config = FedMedianConfig

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        return flower_rule("FedMedian", {}, before, sent, weights)
