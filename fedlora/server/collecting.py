"""Phase three: every client fine-tunes for its own task, and the bank keeps what comes back."""

from collections.abc import Mapping

from fedlora.adapter import LoraAdapter
from fedlora.errors import FedloraError
from fedlora.server.bank import Bank, Record
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.wire.message import Message

PHASE = "finetune"


def collect(context: ServerContext, start: LoraAdapter | None, clients: list[Described]) -> Bank:
    """The bank, filled.

    Args:
        context: of the run.
        start: what every client fine-tunes from; None leaves it to `finetune.init`.
        clients: those that described their tasks; their vectors go into the bank as well.
    """
    bank = Bank.open(context.folder / "bank", context.spec, create=True)
    if context.journal.outcome(PHASE, 0) is not None:
        return bank
    adapters = {} if start is None else {"start": start}
    message = context.message("train", "finetune", adapters)
    expected = context.config.finetune.checkpoints * context.config.finetune.repeats

    def check(client: int, answer: Message) -> None:
        context.check_task(client, answer)
        samples = _samples(context, answer)
        if not 1 <= len(samples) <= expected:
            raise FedloraError(f"answer with {len(samples)} adapters, not 1 to {expected}")

    asked = {client.seat.client: message for client in clients}
    answers = context.asker.ask(PHASE, 0, asked, check)
    context.observer.phase("bank", len(answers))
    for client in clients:
        if client.seat.client in answers:
            _keep(context, bank, client, answers[client.seat.client])
            context.observer.advance()
    context.journal.conclude(PHASE, 0, bank.digest().encode())
    return bank


def _keep(context: ServerContext, bank: Bank, client: Described, answer: Message) -> None:
    scores = answer.meta.get("samples")
    for sample, adapter in enumerate(_samples(context, answer)):
        record = Record(
            task=client.seat.task,
            client=client.seat.client,
            round=0,
            sample=sample,
            rank=max(layer.rank for layer in adapter.spec.layers),
            seed=context.seed,
            metrics=_scores(scores[sample]) if isinstance(scores, list) else {},
        )
        bank.add(record, adapter, client.vector)


def _samples(context: ServerContext, answer: Message) -> list[LoraAdapter]:
    names = [f"{number}" for number in range(len(answer.tensors))]
    return [context.adapter(answer, name) for name in names]


def _scores(raw: object) -> Mapping[str, float]:
    """A sample's own validation scores; they are said by the client and decide nothing."""
    if not isinstance(raw, dict):
        return {}
    return {str(k): float(v) for k, v in raw.items() if isinstance(v, int | float)}
