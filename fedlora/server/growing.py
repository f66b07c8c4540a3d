"""After the warm start: the server learns to generate from what comes back, round by round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fedlora.adapter import LoraAdapter
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.server.asking import Answers
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.growers import FOLDER, grower, vectors_of
from fedlora.server.verdicts import decided
from fedlora.server.vetting import Suspect, vet
from fedlora.wire.message import Message

PHASE = "growth"


@dataclass(frozen=True, eq=False)
class Grown:
    """What the rounds came to.

    generator: makes an adapter for a task vector. bank: what it learned from, beside each client's
    task vector: the sum of its changes, or what it returned last.
    """

    generator: Generator
    bank: TrainingBank


def grow(
    context: ServerContext, warm: LoraAdapter | None, clients: Sequence[Described]
) -> Grown | None:
    """Federated averaging given the task; None without rounds of it.

    In each round client t trains from W(c_t), which is made by `growth.generator` and cut to the
    run's rank, and the server learns from what that changed. A client that is lost changes nothing
    in that round.

    Returns:
        The generator, which is also saved beside the bank, and what it has learned from.

    Raises:
        FedloraError: `growth.generator` cannot learn from changes.
    """
    config = context.config.growth
    if not config.rounds or warm is None:
        return None
    learner = grower(context, warm, clients)
    for number in range(1, config.rounds + 1):
        begun = starts(context, learner.generator, clients)
        read = {client: context.codec.as_received(start) for client, start in begun.items()}
        learner.learn(read, _trained(context, clients, begun, number))
    learner.generator.save(context.folder / FOLDER)
    return Grown(learner.generator, learner.bank)


def starts(
    context: ServerContext, grown: Generator, clients: Sequence[Described]
) -> dict[int, LoraAdapter]:
    """What is generated for each client's task, at the run's rank."""
    vectors = context.seen_by(grown, vectors_of(clients))
    made = grown.sample(vectors, seed=0, rank=context.config.lora.rank)
    return {client.seat.client: adapter for client, adapter in zip(clients, made, strict=True)}


def _trained(
    context: ServerContext,
    clients: Sequence[Described],
    begun: Mapping[int, LoraAdapter],
    number: int,
) -> dict[int, LoraAdapter]:
    """What came back in one round, without those that are lost."""
    asked = {
        client: context.message("train", "grow", {"start": start}, round=number)
        for client, start in begun.items()
    }

    def check(client: int, answer: Message) -> None:
        context.check_task(client, answer)
        context.adapter(answer, "trained")

    answers = context.asker.ask(PHASE, number, asked, check)
    outliers = _outliers(context, clients, begun, answers, number)
    return {
        client: context.screened(answers[client], "trained")
        for client in answers
        if client not in outliers
    }


def _outliers(
    context: ServerContext,
    clients: Sequence[Described],
    begun: Mapping[int, LoraAdapter],
    answers: Answers,
    number: int,
) -> dict[int, str]:
    """Whose change stands out among the others', if the run looks for them; they are lost."""
    if not context.config.screening.of_rounds:
        return {}

    def judge() -> dict[int, str]:
        suspects = [
            Suspect(
                seat.client, seat.task, c.vector, begun[seat.client], partial(read, seat.client)
            )
            for c in clients
            if (seat := c.seat).client in answers
        ]
        return vet(context.config.screening, suspects, factors=True)

    def read(client: int) -> list[LoraAdapter]:
        return [context.screened(answers[client], "trained")]

    verdicts = decided(context.journal, f"screening {PHASE}", number, judge)
    for client, reason in verdicts.items():
        if client in answers:
            context.asker.refuse(PHASE, number, client, reason)
    return verdicts
