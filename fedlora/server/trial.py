"""Which way serves: a trial on the bank's own tasks, before any newcomer comes."""

import json
from collections.abc import Mapping, Sequence
from statistics import fmean, median

import torch
from torch import Tensor

from fedlora import atomic, seeding
from fedlora.adapter import LoraAdapter
from fedlora.adapter.resize import resize
from fedlora.adoption.chosen import MIX, Chosen
from fedlora.adoption.contract import Hand, Neighbour, Offer
from fedlora.adoption.label_mix import LabelMix
from fedlora.config import GeneratorPart, RunConfig
from fedlora.errors import FedloraError
from fedlora.generators.bank import rows_of
from fedlora.generators.contract import Taught, TrainingBank
from fedlora.generators.nearest import Nearest
from fedlora.server.context import ServerContext
from fedlora.server.learning import fit
from fedlora.server.serving import gains_of
from fedlora.wire.message import JSON, Message

PHASE = "trial"
FILE = "trial.json"

Made = dict[str, dict[str, LoraAdapter]]
"""By method and task: what is made for a task by who has learned from others."""
Offers = dict[str, Offer]
"""By task: what its clients would mix by their labels, were it a newcomer's."""
Owners = dict[int, str]
"""Tasks by client."""
Errors = dict[str, dict[str, float]]
"""By method and task: what is wrong on its clients' own examples, less what is by the base model:
1 - accuracy or mean average precision, or nats a token."""


def hold_trial(
    context: ServerContext, bank: TrainingBank, grown: TrainingBank | None = None
) -> str | None:
    """What serves, a method or label_mix; None where no adoption leaves it open.

    Every method that is tried learns from the bank without a part of its tasks and makes adapters
    for these, so that each task is left out once; their clients say what they are worth on examples
    of their own, which no adapter has seen. Where label_mix is tried, they are sent what it would
    offer to a newcomer with their task, and mix it by as many labels of their own as newcomers
    have. Of a task's clients the median counts; of tasks, which are not equally hard, the middle
    half of how far a method is from the mean of all on the same task, so that neither is moved by a
    few who lie. What every method came to is written to trial.json; a trial that was held is not
    held again.

    Where rounds have grown, a task that is left out has still moved what others trained from, in
    `grown` and in the bank alike.

    Args:
        context: of the run.
        bank: what generators learn from, with the clients who made it.
        grown: what the generator of the rounds of growth learned from.

    Raises:
        FedloraError: fewer clients answer than `rounds.min_answers` asks for.
    """
    policy = context.config.trial
    if policy is None:
        return None
    if context.journal.outcome(PHASE, 0) is None:
        owners = _drawn(context, bank, policy.config.clients)
        folds = _folds(context, policy, owners)
        made = _made(context, bank, grown, folds)
        mixed = _offers(context, bank, policy.mix, folds, made) if policy.mix else {}
        errors = _errors(context, owners, made, mixed) if made else {}
        apart = _apart(errors)
        winner = _winner(context, apart)
        held = {"chosen": winner, "apart": apart, "errors": errors}
        context.journal.conclude(PHASE, 0, json.dumps(held, indent=1).encode())
    told = (context.journal.outcome(PHASE, 0) or b"").decode()
    atomic.write_text(context.folder / FILE, told)
    return str(json.loads(told)["chosen"])


def _drawn(context: ServerContext, bank: TrainingBank, most: int) -> Owners:
    """Clients of the bank that try, and their tasks; no more than that, whatever the bank holds."""
    owners = dict(zip(bank.clients or (), bank.tasks, strict=False))
    order = torch.randperm(len(owners), generator=seeding.generator(context.seed, "trial clients"))
    clients = sorted(owners)
    drawn = [clients[place] for place in order[:most].sort().values.tolist()]
    return {client: owners[client] for client in drawn}


def _folds(context: ServerContext, policy: Chosen, owners: Owners) -> list[list[str]]:
    """Tasks that are left out together; none where there is nothing to choose by or between."""
    tasks = sorted(set(owners.values()))
    if len(tasks) < 2 or not context.config.rivals:
        return []
    order = torch.randperm(len(tasks), generator=seeding.generator(context.seed, "trial folds"))
    parts = order.tensor_split(min(policy.config.folds, len(tasks)))
    return [[tasks[place] for place in part.tolist()] for part in parts]


def _made(
    context: ServerContext,
    bank: TrainingBank,
    grown: TrainingBank | None,
    folds: Sequence[Sequence[str]],
) -> Made:
    made: Made = {}
    for method in context.config.rivals if folds else ():
        if method == "grown" and isinstance(part_of(context.config, method).build(), Taught):
            context.observer.note(
                "the bank's own trial leaves grown out: what changes have taught cannot forget a"
                " task that it is tried on"
            )
            continue
        known = grown if method == "grown" and grown else bank
        try:
            made[method] = _tried(context, known, method, folds)
        except FedloraError as error:
            context.observer.note(f"the bank's own trial leaves {method} out: {error}")
    return made


def _offers(
    context: ServerContext,
    bank: TrainingBank,
    mix: LabelMix,
    folds: Sequence[Sequence[str]],
    made: Made,
) -> Offers:
    """None where a method is missing whose adapters are mixed."""
    if not folds or not set(mix.methods) <= set(made):
        return {}
    offers: Offers = {}
    prompts, folder = context.config.task_vector.prompts, context.folder / "checkpoints"
    for number, held in enumerate(folds):
        known = Nearest.of(_without(bank, held), prompts, folder / f"{PHASE}/near-{number}")
        vectors = context.seen_by(known, _vectors(bank, held))
        for task, vector in zip(held, vectors, strict=True):
            near = known.neighbours(vector, mix.config.candidates)
            own = {name: adapters[task] for name, adapters in made.items()}
            offers[task] = mix.offer(_hand(own, [Neighbour(*pair) for pair in near]))
    return offers


def _hand(own: Mapping[str, LoraAdapter], near: list[Neighbour]) -> Hand:
    return Hand(lambda name, _: own[name], lambda _: near)


def _apart(errors: Errors) -> dict[str, float]:
    """By method, its errors less the mean of all methods', over the middle half of tasks."""
    tasks = list(next(iter(errors.values()), {}))
    usual = {task: fmean(own[task] for own in errors.values()) for task in tasks}
    return {
        method: _midmean([own[task] - usual[task] for task in tasks])
        for method, own in errors.items()
    }


def _midmean(values: Sequence[float]) -> float:
    """The mean without the lowest and the highest quarter: a quarter that lies does not move it."""
    outer = len(values) // 4
    return fmean(sorted(values)[outer : len(values) - outer])


def _winner(context: ServerContext, apart: Mapping[str, float]) -> str:
    """Whose errors are least; the generator, if it may serve, where nothing could be tried."""
    if not apart:
        tried = context.config.tried
        winner = "generated" if "generated" in tried else tried[0]
        if context.config.rivals:
            context.observer.note(f"the bank is too small to choose by; {winner} serves")
        return winner
    winner = min(apart, key=lambda method: apart[method])
    told = ", ".join(f"{method} {error:+.3f}" for method, error in apart.items())
    context.observer.note(f"the bank's own trial chose {winner}; errors beside the mean: {told}")
    return winner


def _tried(
    context: ServerContext, bank: TrainingBank, method: str, folds: Sequence[Sequence[str]]
) -> dict[str, LoraAdapter]:
    """What one method makes for every task of the bank."""
    part, found = part_of(context.config, method), dict[str, LoraAdapter]()
    for number, held in enumerate(folds):
        place = f"{PHASE}/{method}-{number}"
        generator = fit(context, part, _without(bank, held), place=place)
        asked = context.seen_by(generator, _vectors(bank, held))
        made = generator.sample(asked, seed=seeding.derive(context.seed, "sample"))
        found |= zip(held, made, strict=True)
    return found


def _without(bank: TrainingBank, held: Sequence[str]) -> TrainingBank:
    return rows_of(bank, [row for row, task in enumerate(bank.tasks) if task not in set(held)])


def _vectors(bank: TrainingBank, tasks: Sequence[str]) -> Tensor:
    """Of each task the mean task vector (n, c)."""
    rows = [[row for row, task in enumerate(bank.tasks) if task == one] for one in tasks]
    return torch.stack([bank.conditions[own].mean(0) for own in rows])


def _errors(context: ServerContext, owners: Owners, made: Made, mixed: Offers) -> Errors:
    """What the bank's clients say of the adapters for their tasks."""
    ways = (*made, MIX) if mixed else tuple(made)
    metric = context.profile.metric if context.profile else "accuracy"
    asked = {
        client: _question(context, client, task, made, mixed.get(task))
        for client, task in owners.items()
    }

    def check(client: int, answer: Message) -> None:
        context.check_task(client, answer)
        gains_of(answer, ways, metric)

    answers = context.asker.ask(PHASE, 0, asked, check)
    said = {client: gains_of(answer, ways, metric) for client, answer in answers.items()}
    by_task: dict[str, list[Mapping[str, float]]] = {}
    for client, gains in said.items():
        by_task.setdefault(owners[client], []).append(gains)
    return {
        method: {task: -median(one[method] for one in told) for task, told in by_task.items()}
        for method in ways
    }


def _question(
    context: ServerContext, client: int, task: str, made: Made, mixed: Offer | None
) -> Message:
    """The message that asks a client to try what every method made for its task, and to mix."""
    spec = context.spec.with_rank(context.rank(client))
    adapters = {method: own[task] for method, own in made.items()}
    more: dict[str, JSON] = {}
    if mixed:
        adapters = {**mixed.adapters, **adapters}
        more["distances"] = dict(mixed.distances)
    sent = {name: resize(adapter, spec) for name, adapter in adapters.items()}
    return context.message("adapter", "try", sent, **more)


def part_of(config: RunConfig, method: str) -> GeneratorPart:
    """The generator that a method of the table is made by."""
    if method in ("generated", "grown"):
        return config.generator if method == "generated" else config.growth.generator
    return next(part for part in config.evaluation.baselines if part.name == method)
