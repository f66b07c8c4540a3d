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
from fedlora.wire.message import Message

Candidates = dict[int, dict[str, LoraAdapter]]


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
) -> None:
    """Hand every newcomer its adapter; keep what it gives back, if the run says so."""
    policy, contribute = context.config.adoption.policy, context.config.adoption.contribute

    def check(_client: int, answer: Message) -> None:
        if not isinstance(answer.meta.get("received"), dict):
            raise FedloraError("answer does not say how the received adapter did")
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
