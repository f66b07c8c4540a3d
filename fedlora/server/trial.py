"""Which method serves: a trial on the bank's own tasks, before any newcomer comes."""

import json
from collections.abc import Mapping, Sequence
from statistics import median

import torch

from fedlora import atomic, seeding
from fedlora.adapter import LoraAdapter
from fedlora.adapter.resize import resize
from fedlora.adoption.chosen import Chosen
from fedlora.config import GeneratorPart
from fedlora.errors import FedloraError
from fedlora.generators.bank import rows_of
from fedlora.generators.contract import TrainingBank
from fedlora.server.context import ServerContext
from fedlora.server.learning import fit
from fedlora.wire.message import Message

PHASE = "trial"
FILE = "trial.json"
MOST = 1e6
"""Nats of a loss that is believed."""

Made = dict[str, dict[str, LoraAdapter]]
"""By method and task: what is made for a task by who has learned from others."""
Losses = dict[str, dict[str, float]]
"""By method and task: loss on its clients' own examples, less that of the base model."""


def hold_trial(context: ServerContext, bank: TrainingBank) -> str | None:
    """The method that serves; None where no adoption leaves it open.

    Every method of the policy learns from a part of the bank's tasks and makes adapters for the
    others, so that each task is left out once; the clients of these say what they are worth on
    examples of their own, which no adapter has seen. Of a task's clients the median counts, and the
    least median over tasks wins, so that neither is moved by a few who lie. What every method came
    to is written to trial.json; a trial that was held is not held again.

    Raises:
        FedloraError: none of the methods can learn from a part of the bank, or fewer clients
            answer than `rounds.min_answers` asks for.
    """
    ways = [context.config.adoption, *context.config.evaluation.adoptions]
    policies = [way.policy.build() for way in ways]
    policy = next((one for one in policies if isinstance(one, Chosen)), None)
    if policy is None:
        return None
    held = context.journal.outcome(PHASE, 0)
    if held is None:
        losses = _losses(context, bank, _made(context, bank, policy))
        middles = {method: median(own.values()) for method, own in losses.items()}
        winner = min(middles, key=lambda method: middles[method])
        held = json.dumps({"chosen": winner, "losses": losses}, indent=1).encode()
        context.journal.conclude(PHASE, 0, held)
        told = ", ".join(f"{method} {middle:+.3f}" for method, middle in middles.items())
        context.observer.note(
            f"the bank's own trial chose {winner}; losses beside the base model's: {told}"
        )
    atomic.write_text(context.folder / FILE, held.decode())
    return str(json.loads(held)["chosen"])


def _made(context: ServerContext, bank: TrainingBank, policy: Chosen) -> Made:
    tasks = sorted(set(bank.tasks))
    order = torch.randperm(len(tasks), generator=seeding.generator(context.seed, "trial folds"))
    parts = order.tensor_split(min(policy.config.folds, len(tasks)))
    folds = [[tasks[place] for place in part.tolist()] for part in parts]
    made: Made = {}
    for method in policy.methods:
        try:
            made[method] = _tried(context, bank, method, folds)
        except FedloraError as error:
            context.observer.note(f"the bank's own trial leaves {method} out: {error}")
    if not made:
        raise FedloraError("adoption.policy: the bank is too small to choose by; name a method")
    return made


def _tried(
    context: ServerContext, bank: TrainingBank, method: str, folds: Sequence[Sequence[str]]
) -> dict[str, LoraAdapter]:
    """What one method makes for every task of the bank."""
    part, found = _part(context, method), dict[str, LoraAdapter]()
    for number, held in enumerate(folds):
        rest = [row for row, task in enumerate(bank.tasks) if task not in set(held)]
        place = f"{PHASE}/{method}-{number}"
        generator = fit(context, part, rows_of(bank, rest), place=place)
        rows = [[row for row, task in enumerate(bank.tasks) if task == one] for one in held]
        asked = torch.stack([bank.conditions[own].mean(0) for own in rows])
        seed = seeding.derive(context.seed, "sample")
        made = generator.sample(context.seen_by(generator, asked), seed=seed)
        found |= zip(held, made, strict=True)
    return found


def _losses(context: ServerContext, bank: TrainingBank, made: Made) -> Losses:
    """What the bank's clients say of the adapters for their tasks."""
    owners = dict(zip(bank.clients or (), bank.tasks, strict=False))
    asked = {client: _question(context, client, task, made) for client, task in owners.items()}

    def check(client: int, answer: Message) -> None:
        context.check_task(client, answer)
        _gains(answer, made)

    answers = context.asker.ask(PHASE, 0, asked, check)
    said = {client: _gains(answer, made) for client, answer in answers.items()}
    by_task: dict[str, list[Mapping[str, float]]] = {}
    for client, gains in said.items():
        by_task.setdefault(owners[client], []).append(gains)
    return {
        method: {task: median(one[method] for one in told) for task, told in by_task.items()}
        for method in made
    }


def _question(context: ServerContext, client: int, task: str, made: Made) -> Message:
    """The message that asks a client to try what every method made for its task."""
    spec = context.spec.with_rank(context.rank(client))
    return context.message(
        "adapter", "try", {method: resize(own[task], spec) for method, own in made.items()}
    )


def _gains(answer: Message, made: Made) -> dict[str, float]:
    """By method, its loss less that of the base model.

    Raises:
        FedloraError: a loss is missing, or none.
    """
    values = answer.meta.get("values")
    if not isinstance(values, dict) or set(values) != {"base", *made}:
        raise FedloraError("answer without a score for each adapter that was to be tried")
    losses = {name: _loss(values[name]) for name in values}
    return {method: losses[method] - losses["base"] for method in made}


def _loss(scores: object) -> float:
    loss = scores.get("loss") if isinstance(scores, dict) else None
    if isinstance(loss, bool) or not isinstance(loss, int | float) or not abs(loss) <= MOST:
        raise FedloraError(f"answer whose loss is {loss!a:.40}")
    return float(loss)


def _part(context: ServerContext, method: str) -> GeneratorPart:
    if method == "generated":
        return context.config.generator
    return next(part for part in context.config.evaluation.baselines if part.name == method)
