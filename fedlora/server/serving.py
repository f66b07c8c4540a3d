"""Phase five: newcomers describe their tasks, and each gets an adapter in one message."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.bank import Bank, Record
from fedlora.config import AdoptionConfig
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator
from fedlora.server.admitting import Samples, admit
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.offering import Candidates, Offering
from fedlora.spans import span
from fedlora.wire.message import Message


@span("generator")
def make_candidates(
    context: ServerContext,
    learned: Mapping[str, Generator],
    warm: LoraAdapter | None,
    newcomers: list[Described],
) -> Candidates:
    """For each newcomer, what every method would hand it; `shuffled` has another's condition."""
    conditions = torch.stack([newcomer.vector for newcomer in newcomers])
    seed = seeding.derive(context.seed, "sample")

    def sample(generator: Generator, asked: Tensor) -> list[LoraAdapter]:
        rank = context.config.lora.rank
        return generator.sample(context.seen_by(generator, asked), seed=seed, rank=rank)

    made = {method: sample(generator, conditions) for method, generator in learned.items()}
    if len(newcomers) > 1:
        made["shuffled"] = sample(learned["generated"], conditions.roll(1, 0))
    return {
        newcomer.seat.client: {
            **({} if warm is None else {"warm": warm}),
            **{method: adapters[row] for method, adapters in made.items()},
        }
        for row, newcomer in enumerate(newcomers)
    }


def serve(
    context: ServerContext, offering: Offering, newcomers: list[Described], bank: Bank
) -> dict[str, dict[int, float]]:
    """Offer every newcomer its adapter; keep what it gives back, if the run says so.

    The other ways to adopt that the run tries follow, one after another; their bytes count as
    evaluation.

    Returns:
        For each way that the table would not show anyway, what each newcomer reached.
    """
    if not newcomers:
        return {}
    ways = [context.config.adoption, *context.config.evaluation.adoptions]
    reached = {}
    for number, way in enumerate(ways):
        answers = _adopt(context, offering, newcomers, way, number)
        if way.contribute:
            _keep(context, newcomers, answers, bank)
        if not way.plain:
            reached[way.title] = {c: _value(context, answer) for c, answer in answers.items()}
    return reached


def _adopt(
    context: ServerContext,
    offering: Offering,
    newcomers: list[Described],
    way: AdoptionConfig,
    number: int,
) -> Mapping[int, Message]:
    """Every newcomer's answer to one way to adopt; the first is the run's own."""
    policy = way.policy.build()

    def check(client: int, answer: Message) -> None:
        context.check_task(client, answer)
        _value(context, answer)
        if way.contribute:
            context.adapter(answer, "refined")

    asked = {}
    for newcomer in newcomers:
        offer = offering.make(policy, newcomer.vector, newcomer.seat.client)
        asked[newcomer.seat.client] = context.message(
            "evaluation" if number else "adapter",
            "adopt",
            offer.adapters,
            distances=offer.distances,
            error=offer.error,
            adoption=number - 1 if number else None,
        )
    return context.asker.ask("adopt", number, asked, check)


def _keep(
    context: ServerContext, newcomers: list[Described], answers: Mapping[int, Message], bank: Bank
) -> None:
    def samples(newcomer: Described) -> Samples:
        seat = newcomer.seat
        adapter = context.screened(answers[seat.client], "refined")
        rank = max(layer.rank for layer in adapter.spec.layers)
        return [(Record(seat.task, seat.client, 1, 0, rank, context.seed, {}), adapter)]

    members = [newcomer for newcomer in newcomers if newcomer.seat.client in answers]
    admit(context, bank, "adopt", members, samples, {})


def _value(context: ServerContext, answer: Message) -> float:
    metric = context.profile.metric if context.profile else ""
    return value_of(answer.meta.get("value"), metric)


def gains_of(answer: Message, names: Iterable[str], metric: str) -> dict[str, float]:
    """By name, how much better than the base model a client says that an adapter is.

    Raises:
        FedloraError: a score is missing, one is not asked for, or one cannot be so.
    """
    values, asked = answer.meta.get("values"), list(names)
    if not isinstance(values, dict) or set(values) != {"base", *asked}:
        raise FedloraError("answer without a score for each adapter that was to be tried")
    sign = -1.0 if metric == "nll" else 1.0
    base = value_of(values["base"], metric)
    return {name: sign * (value_of(values[name], metric) - base) for name in asked}


def value_of(scores: object, metric: str) -> float:
    """One score out of those that a client reports.

    Raises:
        FedloraError: it is missing, or no accuracy or likelihood can be so.
    """
    value = scores.get(metric) if isinstance(scores, dict) else None
    most = 1e6 if metric == "nll" else 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise FedloraError(f"answer whose {metric} is {value!a:.40}")
    return float(value)
