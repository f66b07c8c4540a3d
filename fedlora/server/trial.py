"""Which method serves: a trial on the bank's own tasks, before any newcomer comes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from fedlora import atomic, seeding
from fedlora.adapter import LoraAdapter
from fedlora.adapter.span import AdapterSpan
from fedlora.adoption.chosen import Chosen
from fedlora.config import GeneratorPart
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.server.context import ServerContext
from fedlora.spans import span

PHASE = "trial"
FILE = "trial.json"

Errors = dict[str, dict[str, float]]
"""By method and task: |generated - trained|^2 of DeltaW, as a share of |trained|^2."""


@dataclass(frozen=True)
class Fold:
    """Tasks that a method is tried on, and the bank without them."""

    held: Sequence[str]
    rest: TrainingBank
    number: int


def hold_trial(context: ServerContext, bank: TrainingBank) -> str | None:
    """The method that serves; None where no adoption leaves it open.

    Every method of the policy learns from a part of the bank's tasks and answers for the others,
    so that each task is left out once. The smallest mean error wins. What every method came to is
    written to trial.json; a trial that was held is not held again.

    Raises:
        FedloraError: none of the methods can learn from a part of the bank.
    """
    ways = [context.config.adoption, *context.config.evaluation.adoptions]
    policies = [way.policy.build() for way in ways]
    policy = next((one for one in policies if isinstance(one, Chosen)), None)
    if policy is None:
        return None
    held = context.journal.outcome(PHASE, 0)
    if held is None:
        errors = _errors(context, bank, policy)
        means = {method: sum(e.values()) / len(e) for method, e in errors.items()}
        winner = min(means, key=lambda method: means[method])
        held = json.dumps({"chosen": winner, "errors": errors}, indent=1).encode()
        context.journal.conclude(PHASE, 0, held)
        told = ", ".join(f"{method} {mean:.3f}" for method, mean in means.items())
        context.observer.note(f"the bank's own trial chose {winner}; errors of DeltaW: {told}")
    atomic.write_text(context.folder / FILE, held.decode())
    return str(json.loads(held)["chosen"])


@span("generator")
def _errors(context: ServerContext, bank: TrainingBank, policy: Chosen) -> Errors:
    tasks = sorted(set(bank.tasks))
    order = torch.randperm(len(tasks), generator=seeding.generator(context.seed, "trial folds"))
    parts = order.tensor_split(min(policy.config.folds, len(tasks)))
    folds = [_fold(bank, [tasks[i] for i in part.tolist()], n) for n, part in enumerate(parts)]
    context.observer.phase("trial", len(folds) * len(policy.methods))
    errors: Errors = {}
    for method in policy.methods:
        try:
            errors[method] = _tried(context, bank, method, folds)
        except FedloraError as error:
            context.observer.note(f"trial: {method} is left out, since a part of {error}")
    if not errors:
        raise FedloraError("adoption.policy: the bank is too small to choose by; name a method")
    return errors


def _tried(
    context: ServerContext, bank: TrainingBank, method: str, folds: Sequence[Fold]
) -> dict[str, float]:
    """One method's error on every task of the bank that has an adapter other than zero."""
    found: dict[str, float] = {}
    for fold in folds:
        made = _answers(context, bank, method, fold)
        context.observer.advance()
        for task, adapter in made.items():
            own = [a for a, t in zip(bank.adapters, bank.tasks, strict=True) if t == task]
            if (error := _miss(adapter, own)) is not None:
                found[task] = error
    if not found:
        raise FedloraError("the bank holds adapters of zeros alone")
    return found


def _answers(
    context: ServerContext, bank: TrainingBank, method: str, fold: Fold
) -> Mapping[str, LoraAdapter]:
    """What a method that has seen the rest says of the tasks held out."""
    part = _part(context, method)
    generator: Generator = part.build()
    vectors = context.seen_by(generator, bank.conditions)
    rows = torch.tensor([[float(t == task) for t in bank.tasks] for task in fold.held])
    asked = (rows / rows.sum(1, keepdim=True)) @ vectors
    generator.fit(
        replace(fold.rest, conditions=context.seen_by(generator, fold.rest.conditions)),
        seed=seeding.derive(context.seed, "generator", part.name),
        workdir=context.folder / "checkpoints" / PHASE / f"{method}-{fold.number}",
        progress=lambda _: None,
    )
    seed = seeding.derive(context.seed, "sample")
    return dict(zip(fold.held, generator.sample(asked, seed=seed), strict=True))


def _part(context: ServerContext, method: str) -> GeneratorPart:
    if method == "generated":
        return context.config.generator
    return next(part for part in context.config.evaluation.baselines if part.name == method)


def _fold(bank: TrainingBank, held: Sequence[str], number: int) -> Fold:
    kept = [row for row, task in enumerate(bank.tasks) if task not in set(held)]
    rest = TrainingBank(
        [bank.adapters[row] for row in kept],
        bank.conditions[kept],
        [bank.tasks[row] for row in kept],
    )
    return Fold(held, rest, number)


def _miss(made: LoraAdapter, own: Sequence[LoraAdapter]) -> float | None:
    """|made - mean of own|^2 / |mean of own|^2 in product space; None where own is zero."""
    both = AdapterSpan([made, *own])
    mean = torch.cat([torch.zeros(1), torch.full((len(own),), 1 / len(own))]).double()
    size = both.norm(mean)
    away = torch.cat([torch.ones(1).double(), -mean[1:]])
    return (both.norm(away) / size) ** 2 if size > 0 else None
