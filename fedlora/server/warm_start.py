"""Phase two: rounds of federated averaging, so that every client fine-tunes from one place."""

from collections.abc import Sequence
from typing import overload

import numpy as np
import torch

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import Aggregator
from fedlora.errors import FedloraError
from fedlora.server.asking import Answers, number
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.wire.message import Message

# A weight beyond this is no honest shard, and would take over the average.
MOST_EXAMPLES = 10**9


def warm_start(context: ServerContext, clients: list[Described]) -> LoraAdapter | None:
    """The common adapter after the configured rounds; None when there are none.

    The first round sends no adapter: every client draws the same one from the run's seed.
    """
    config = context.config.warm_start
    aggregator: Aggregator = config.aggregation.build()
    common: LoraAdapter | None = None
    for round in range(1, config.rounds + 1):
        done = context.journal.outcome("warm_start", round)
        if done is None:
            chosen = _choose(context, [client.seat.client for client in clients], round)
            common = _round(context, aggregator, common, chosen, round)
            context.journal.conclude("warm_start", round, _to_bytes(common))
        else:
            common = _from_bytes(context, done)
    return common


def _round(
    context: ServerContext,
    aggregator: Aggregator,
    common: LoraAdapter | None,
    chosen: list[int],
    round: int,
) -> LoraAdapter:
    message = context.message("train", "warm_up", _start(common), round=round)
    examples: dict[int, float] = {}

    def check(client: int, answer: Message) -> None:
        context.check_task(client, answer)
        context.adapter(answer, "trained")
        examples[client] = number(answer, "examples")
        if not 1 <= examples[client] <= MOST_EXAMPLES:
            raise FedloraError("answer with an unbelievable number of examples")

    answers = context.asker.ask("warm_start", round, dict.fromkeys(chosen, message), check)
    # Only answers from before a kill are read for it again.
    weights = [
        examples[client] if client in examples else number(answers[client], "examples")
        for client in answers
    ]
    return aggregator.aggregate(_Adapters(context, answers), weights)


class _Adapters(Sequence[LoraAdapter]):
    """The adapters of a round in the order of their clients, each read when it is asked for."""

    def __init__(self, context: ServerContext, answers: Answers) -> None:
        self._context = context
        self._answers = answers
        self._clients = list(answers)

    def __len__(self) -> int:
        return len(self._clients)

    @overload
    def __getitem__(self, at: int) -> LoraAdapter: ...

    @overload
    def __getitem__(self, at: slice) -> list[LoraAdapter]: ...

    def __getitem__(self, at: int | slice) -> LoraAdapter | list[LoraAdapter]:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        return self._context.screened(self._answers[self._clients[at]], "trained")


def _start(common: LoraAdapter | None) -> dict[str, LoraAdapter]:
    return {} if common is None else {"start": common}


def _choose(context: ServerContext, clients: list[int], round: int) -> list[int]:
    count = context.config.warm_start.clients_per_round
    if count is None or count >= len(clients):
        return clients
    rng = np.random.default_rng(seeding.derive(context.seed, "clients of round", round))
    return sorted(int(client) for client in rng.choice(clients, count, replace=False))


def _to_bytes(adapter: LoraAdapter) -> bytes:
    return adapter.flatten().numpy().astype("<f4").tobytes()


def _from_bytes(context: ServerContext, data: bytes) -> LoraAdapter:
    values = torch.from_numpy(np.frombuffer(data, "<f4").astype(np.float32))
    return LoraAdapter.from_flat(context.spec, values)
