"""What Flower's own strategy classes make of a round, its factors laid out as plain arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import State
from fedlora.aggregation.fedavg import check_one_rank, mean_factors
from fedlora.aggregation.suspects import counted
from fedlora.quiet import quiet

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
    from flwr.serverapp import strategy as strategies

    mean = mean_factors(sent, weights)
    if before.round == 0:
        return replace(before, common=mean)
    strategy: Any = getattr(strategies, name)(**options)
    strategy.current_arrays = {_VALUES: before.common.flatten().numpy()}
    moments = {key: before.extra[key].flatten().numpy() for key in before.extra}
    strategy.m_t = {_VALUES: moments[FIRST]} if FIRST in moments else None
    strategy.v_t = {_VALUES: moments[SECOND]} if SECOND in moments else None
    with quiet("flwr"):  # it counts replies aloud; the round has told of them already
        stepped, _ = strategy.aggregate_train(before.round, [_reply(mean)])

    def adapter(values: Any) -> LoraAdapter:
        return LoraAdapter.from_flat(mean.spec, torch.from_numpy(values.copy()).float())

    extra = {FIRST: adapter(strategy.m_t[_VALUES]), SECOND: adapter(strategy.v_t[_VALUES])}
    return replace(before, common=adapter(stepped[_VALUES].numpy()), extra=extra)


def flower_rule(
    name: str,
    options: Mapping[str, float],
    before: State,
    sent: Sequence[LoraAdapter],
    weights: Sequence[float],
) -> State:
    """What a strategy that looks at every client makes of the factors, value by value.

    name, options: as for `flower_step`. Clients without weight are left out, others count alike.

    Raises:
        FedloraError: the adapters are of several ranks, or no weight is positive.
    """
    from flwr.serverapp import strategy as strategies

    adapters, _ = counted(sent, weights)
    spec = adapters[0].spec
    for adapter in sent:
        check_one_rank(adapter, spec)
    strategy: Any = getattr(strategies, name)(**options)
    with quiet("flwr"):
        made, _ = strategy.aggregate_train(before.round + 1, [_reply(one) for one in adapters])
    values = torch.from_numpy(made[_VALUES].numpy().copy()).float()
    return replace(before, common=LoraAdapter.from_flat(spec, values))


def _reply(adapter: LoraAdapter) -> SimpleNamespace:
    """As much of a Message as a strategy looks at; a real one belongs to a run of Flower's."""
    from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

    arrays = ArrayRecord({_VALUES: Array(adapter.flatten().numpy())})
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
    return SimpleNamespace(content=content, has_error=lambda: False)
