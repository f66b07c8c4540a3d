"""Phase three: every client fine-tunes for its own task, and the bank keeps what comes back."""

from collections.abc import Callable, Mapping
from functools import partial

from fedlora.adapter import LoraAdapter
from fedlora.adapter.resize import resize
from fedlora.bank import Bank, Record
from fedlora.errors import FedloraError
from fedlora.server.admitting import Samples, admit
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.vouching import vouched
from fedlora.wire.message import Message

PHASE = "finetune"
ROUNDS = frozenset({0})
"""Of the bank: what the clients gave, without what newcomers gave back."""


def collect(
    context: ServerContext, starts: Mapping[int, LoraAdapter], clients: list[Described]
) -> Bank:
    """The bank, filled.

    Args:
        context: of the run.
        starts: what clients fine-tune from; one without is left to `finetune.init`.
        clients: those that described their tasks; their vectors go into the bank as well.

    Raises:
        FedloraError: too few clients answer, or the bank no longer holds what they gave.
    """
    bank = Bank.open(context.folder / "bank", context.spec, create=True)
    filled = context.journal.outcome(PHASE, 0)
    if filled is not None:
        if bank.digest(ROUNDS).encode() != filled:
            raise FedloraError(
                f"bank '{bank.folder}' is not what the clients filled: restore it from a copy, or"
                f" delete it and '{context.folder / 'checkpoints'}' and resume, and the clients"
                " are asked again"
            )
        return bank
    made: dict[int, Message] = {}
    expected = context.config.finetune.checkpoints * context.config.finetune.repeats

    def check(client: int, answer: Message) -> None:
        context.check_task(client, answer)
        if not 1 <= len(_records(context, client, answer, context.adapter)) <= expected:
            raise FedloraError(f"answer with {len(answer.tensors)} adapters, not 1 to {expected}")

    asked = {}
    for client in clients:
        start = starts.get(client.seat.client)
        if starts and start is None:
            continue  # it was left behind before
        if id(start) not in made:  # many clients share one adapter, and then one message
            adapters = {} if start is None else {"start": start}
            made[id(start)] = context.message("train", "finetune", adapters)
        asked[client.seat.client] = made[id(start)]
    answers = context.asker.ask(PHASE, 0, asked, check)
    members = [client for client in clients if client.seat.client in answers]

    def samples(member: Described) -> Samples:
        client = member.seat.client
        return _records(context, client, answers[client], context.screened)

    admit(context, bank, PHASE, members, samples, starts, partial(vouched, context, samples))
    context.journal.conclude(PHASE, 0, bank.digest(ROUNDS).encode())
    return bank


def _records(
    context: ServerContext,
    client: int,
    answer: Message,
    read: Callable[[Message, str, int], LoraAdapter],
) -> list[tuple[Record, LoraAdapter]]:
    """The samples of an answer; their scores are the client's own word and decide nothing.

    read: gives an adapter of the answer by its name.

    Raises:
        FedloraError: an adapter is refused, or the scores are not a mapping of numbers for each.
    """
    scores = answer.meta.get("samples")
    if not isinstance(scores, list) or len(scores) != len(answer.tensors):
        raise FedloraError("answer without a score for each of its adapters")
    found = []
    for sample, score in enumerate(scores):
        if not isinstance(score, dict):
            raise FedloraError("answer whose scores are not numbers by name")
        # Generators learn from adapters of one rank, which a smaller one is filled up to.
        adapter = resize(read(answer, str(sample), context.rank(client)), context.spec)
        rank = max(layer.rank for layer in adapter.spec.layers)
        task = context.seats[client].task
        found.append((Record(task, client, 0, sample, rank, context.seed, score), adapter))
    return found
