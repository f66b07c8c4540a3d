"""One step of an adaptive server optimiser, done by Flower's own strategy classes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import State
from fedlora.aggregation.fedavg import mean_factors

FIRST, SECOND = "first_moment", "second_moment"
_VALUES = "values"


def flower_step(
    name: str,
    options: Mapping[str, float],
    before: State,
    sent: Sequence[LoraAdapter],
    weights: Sequence[float],
) -> State:
    """What a FedOpt strategy makes of the average of the factors.

    In the first round, whose start the server has not seen in full (a head is its clients'), the
    average itself is taken. Moments are kept between rounds, so that a resumed run goes on.

    name, options: a class of `flwr.serverapp.strategy` and its arguments; flwr is imported here,
        not with the room.
    """
    from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
    from flwr.serverapp import strategy as strategies

    mean = mean_factors(sent, weights)
    if before.round == 0:
        return replace(before, common=mean)
    strategy: Any = getattr(strategies, name)(**options)
    strategy.current_arrays = {_VALUES: before.common.flatten().numpy()}
    moments = {key: before.extra[key].flatten().numpy() for key in before.extra}
    strategy.m_t = {_VALUES: moments[FIRST]} if FIRST in moments else None
    strategy.v_t = {_VALUES: moments[SECOND]} if SECOND in moments else None
    arrays = ArrayRecord({_VALUES: Array(mean.flatten().numpy())})
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
    # As much of a Message as the strategy looks at; a real one belongs to a run of Flower's.
    reply = SimpleNamespace(content=content, has_error=lambda: False)
    stepped, _ = strategy.aggregate_train(before.round, [reply])

    def adapter(values: Any) -> LoraAdapter:
        return LoraAdapter.from_flat(mean.spec, torch.from_numpy(values.copy()).float())

    extra = {FIRST: adapter(strategy.m_t[_VALUES]), SECOND: adapter(strategy.v_t[_VALUES])}
    return replace(before, common=adapter(stepped[_VALUES].numpy()), extra=extra)
