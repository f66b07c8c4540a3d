"""Phase five: newcomers describe their tasks, and each gets an adapter in one message."""

from collections.abc import Mapping

import torch

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator
from fedlora.server.bank import Bank, Record
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.spans import span
from fedlora.wire.message import Message

Candidates = dict[int, dict[str, LoraAdapter]]


@span("generator")
def make_candidates(
    context: ServerContext,
    learned: Mapping[str, Generator],
    warm: LoraAdapter | None,
    newcomers: list[Described],
) -> Candidates:
    """For each newcomer, what every method would hand it; `shuffled` has another's condition."""
    conditions = torch.stack([newcomer.vector for newcomer in newcomers])
    made = {
        method: generator.sample(conditions, seed=seeding.derive(context.seed, "sample"))
        for method, generator in learned.items()
    }
    if len(newcomers) > 1:
        made["shuffled"] = learned["generated"].sample(
            conditions.roll(1, 0), seed=seeding.derive(context.seed, "sample")
        )
    return {
        newcomer.seat.client: {
            **({} if warm is None else {"warm": warm}),
            **{method: adapters[row] for method, adapters in made.items()},
        }
        for row, newcomer in enumerate(newcomers)
    }


def serve(
    context: ServerContext, candidates: Candidates, newcomers: list[Described], bank: Bank
) -> dict[int, float]:
    """Hand every newcomer its adapter; keep what it gives back, if the run says so.

    Returns:
        What each newcomer reached after refining its adapter; empty when none refines.
    """
    if not newcomers:
        return {}
    metric = context.profile.metric if context.profile else ""
    policy, contribute = context.config.adoption.policy, context.config.adoption.contribute

    def check(client: int, answer: Message) -> None:
        context.check_task(client, answer)
        value_of(answer.meta.get("received"), metric)
        if context.config.adoption.refine_epochs:
            value_of(answer.meta.get("refined"), metric)
        if contribute:
            context.adapter(answer, "refined")

    asked = {
        client: context.message("adapter", "adopt", {"received": adapters[policy]})
        for client, adapters in candidates.items()
    }
    answers = context.asker.ask("adopt", 0, asked, check)
    for newcomer in newcomers:
        answer = answers.get(newcomer.seat.client)
        if contribute and answer is not None:
            adapter = context.adapter(answer, "refined")
            rank = max(layer.rank for layer in adapter.spec.layers)
            seat = newcomer.seat
            record = Record(seat.task, seat.client, 1, 0, rank, context.seed, {})
            bank.add(record, adapter, newcomer.vector)
    if not context.config.adoption.refine_epochs:
        return {}
    return {c: value_of(answer.meta.get("refined"), metric) for c, answer in answers.items()}


def value_of(scores: object, metric: str) -> float:
    """One score out of those that a client reports.

    Raises:
        FedloraError: it is missing, or no accuracy or likelihood can be so.
    """
    value = scores.get(metric) if isinstance(scores, dict) else None
    most = 1.0 if metric == "accuracy" else 1e6
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise FedloraError(f"answer whose {metric} is {value!a:.40}")
    return float(value)
