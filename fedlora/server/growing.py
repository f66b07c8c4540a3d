"""After the warm start: the server learns to generate from what comes back, round by round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.resize import resize
from fedlora.adapter.span import AdapterSpan
from fedlora.errors import FedloraError
from fedlora.generators.blend import Blend
from fedlora.generators.contract import TrainingBank
from fedlora.server.asking import Answers
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.verdicts import decided
from fedlora.server.vetting import Suspect, vet
from fedlora.wire.message import Message

PHASE = "growth"
FOLDER = "growth"


@dataclass(frozen=True, eq=False)
class Grown:
    """What the rounds came to.

    generator: makes an adapter for a task vector. bank: what it combines, each client's sum of
    changes beside its task vector.
    """

    generator: Blend
    bank: TrainingBank


def grow(
    context: ServerContext, warm: LoraAdapter | None, clients: Sequence[Described]
) -> Grown | None:
    """Federated averaging given the task; None without rounds of it.

    The server generates W(c) = sum_t w_t(c) S_t, where w are the weights of `growth.generator`
    and S_t begins as the warm start. In each round client t trains from W(c_t), cut to the run's
    rank, and what that changed is added to its own S_t (kept at `growth.rank`): a step of
    functional gradient descent in the space of the generator's kernel, as FedAvg is one in the
    space of constants, to which it comes down where all weights are equal; a learned metric makes
    a new kernel of the sums in each round. What tasks share is averaged over all of them; what
    differs, over those that are alike. A client that is lost changes nothing in that round.

    Returns:
        The generator, which is also saved beside the bank, and what it has learned from.

    Raises:
        FedloraError: `growth.generator` does not answer with a combination of adapters.
    """
    config = context.config.growth
    if not config.rounds or warm is None:
        return None
    generator = config.generator.build()
    if not isinstance(generator, Blend):
        raise FedloraError(
            f"growth.generator: '{config.generator.name}' does not combine the bank's adapters;"
            " choose kriging, ridge or topk"
        )
    sums = [resize(warm, _wide(context.spec, config.rank))] * len(clients)
    bank = _fit(context, generator, clients, sums)
    for number in range(1, config.rounds + 1):
        sums = _round(context, generator, clients, sums, number)
        bank = _fit(context, generator, clients, sums)
    generator.save(context.folder / FOLDER)
    return Grown(generator, bank)


def starts(
    context: ServerContext, grown: Blend, clients: Sequence[Described]
) -> dict[int, LoraAdapter]:
    """What is generated for each client's task, at the run's rank."""
    vectors = context.seen_by(grown, _vectors(clients))
    made = grown.sample(vectors, seed=0, rank=context.config.lora.rank)
    return {client.seat.client: adapter for client, adapter in zip(clients, made, strict=True)}


def _round(
    context: ServerContext,
    grown: Blend,
    clients: Sequence[Described],
    sums: Sequence[LoraAdapter],
    number: int,
) -> list[LoraAdapter]:
    """Every client's sum of changes after one more round."""
    begun = starts(context, grown, clients)
    asked = {
        client: context.message("train", "grow", {"start": start}, round=number)
        for client, start in begun.items()
    }

    def check(client: int, answer: Message) -> None:
        context.check_task(client, answer)
        context.adapter(answer, "trained")

    answers = context.asker.ask(PHASE, number, asked, check)
    outliers = _outliers(context, clients, begun, answers, number)
    change = torch.tensor([1.0, 1.0, -1.0])
    added = []
    for client, total in zip((c.seat.client for c in clients), sums, strict=True):
        if client in answers and client not in outliers:
            trained = context.screened(answers[client], "trained")
            span = AdapterSpan([total, trained, begun[client]])
            added.append(span.combine(change, total.spec))
        else:
            added.append(total)
    return added


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
        return vet(context.config.screening, suspects)

    def read(client: int) -> list[LoraAdapter]:
        return [context.screened(answers[client], "trained")]

    verdicts = decided(context.journal, f"screening {PHASE}", number, judge)
    for client, reason in verdicts.items():
        if client in answers:
            context.asker.refuse(PHASE, number, client, reason)
    return verdicts


def _fit(
    context: ServerContext,
    generator: Blend,
    clients: Sequence[Described],
    sums: Sequence[LoraAdapter],
) -> TrainingBank:
    """Let the generator combine what the sums are now; what it leaves open it chooses by them."""
    tasks = [client.seat.task for client in clients]
    bank = TrainingBank(sums, _vectors(clients), tasks, [client.seat.client for client in clients])
    generator.fit(
        replace(bank, conditions=context.seen_by(generator, bank.conditions)),
        seed=seeding.derive(context.seed, "growth"),
        workdir=context.folder / "checkpoints" / FOLDER,
        progress=lambda _: None,
    )
    return bank


def _vectors(clients: Sequence[Described]) -> Tensor:
    return torch.stack([client.vector for client in clients])


def _wide(spec: AdapterSpec, rank: int) -> AdapterSpec:
    """The spec with each layer at `rank`, as far as it fits, and never below its own."""
    layers = tuple(
        replace(one, rank=max(one.rank, min(rank, one.d_in, one.d_out))) for one in spec.layers
    )
    return replace(spec, layers=layers)
