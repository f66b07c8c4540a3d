"""Which method serves: a trial on the bank's own tasks, before any newcomer comes."""

import json
from collections.abc import Sequence

import torch

from fedlora import atomic, seeding
from fedlora.adapter import LoraAdapter
from fedlora.adapter.span import AdapterSpan
from fedlora.adoption.chosen import Chosen
from fedlora.config import GeneratorPart
from fedlora.errors import FedloraError
from fedlora.generators.bank import rows_of
from fedlora.generators.contract import TrainingBank
from fedlora.server.context import ServerContext
from fedlora.server.learning import fit

PHASE = "trial"
FILE = "trial.json"

Errors = dict[str, dict[str, float]]
"""By method and task: |generated - trained|^2 of DeltaW, as a share of |trained|^2."""


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


def _errors(context: ServerContext, bank: TrainingBank, policy: Chosen) -> Errors:
    tasks = sorted(set(bank.tasks))
    order = torch.randperm(len(tasks), generator=seeding.generator(context.seed, "trial folds"))
    parts = order.tensor_split(min(policy.config.folds, len(tasks)))
    folds = [[tasks[place] for place in part.tolist()] for part in parts]
    errors: Errors = {}
    for method in policy.methods:
        try:
            errors[method] = _tried(context, bank, method, folds)
        except FedloraError as error:
            context.observer.note(f"the bank's own trial leaves {method} out: {error}")
    if not errors:
        raise FedloraError("adoption.policy: the bank is too small to choose by; name a method")
    return errors


def _tried(
    context: ServerContext, bank: TrainingBank, method: str, folds: Sequence[Sequence[str]]
) -> dict[str, float]:
    """One method's error on every task of the bank that has an adapter other than zero."""
    part, found = _part(context, method), dict[str, float]()
    for number, held in enumerate(folds):
        rest = [row for row, task in enumerate(bank.tasks) if task not in set(held)]
        place = f"{PHASE}/{method}-{number}"
        generator = fit(context, part, rows_of(bank, rest), place=place)
        rows = [[row for row, task in enumerate(bank.tasks) if task == one] for one in held]
        asked = torch.stack([bank.conditions[own].mean(0) for own in rows])
        seed = seeding.derive(context.seed, "sample")
        made = generator.sample(context.seen_by(generator, asked), seed=seed)
        for task, own, adapter in zip(held, rows, made, strict=True):
            error = _miss(adapter, [bank.adapters[row] for row in own])
            if error is not None:
                found[task] = error
    if not found:
        raise FedloraError("the bank holds adapters of zeros alone")
    return found


def _part(context: ServerContext, method: str) -> GeneratorPart:
    if method == "generated":
        return context.config.generator
    return next(part for part in context.config.evaluation.baselines if part.name == method)


def _miss(made: LoraAdapter, own: Sequence[LoraAdapter]) -> float | None:
    """|made - mean of own|^2 / |mean of own|^2 in product space; None where own is zero."""
    both = AdapterSpan([made, *own])
    mean = torch.cat([torch.zeros(1), torch.full((len(own),), 1 / len(own))]).double()
    size = both.norm(mean)
    away = torch.cat([torch.ones(1).double(), -mean[1:]])
    return (both.norm(away) / size) ** 2 if size > 0 else None
