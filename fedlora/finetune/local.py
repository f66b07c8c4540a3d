"""One client's training: one adapter, one shard, one seed."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.backbone.fold import folded
from fedlora.config import TrainSection
from fedlora.errors import FedloraError
from fedlora.finetune.course import Course
from fedlora.finetune.guide import Guide, steer
from fedlora.finetune.job import Job, Trained
from fedlora.finetune.lower_blocks import replay
from fedlora.finetune.objectives import Objective, Rows
from fedlora.finetune.objectives.contract import take
from fedlora.finetune.per_example import MixedRowsError, gradients_of_each
from fedlora.finetune.private import (
    Gradients,
    Protection,
    draws,
    noisy_gradient,
    one_by_one,
)


def train(
    objective: Objective,
    start: LoraAdapter,
    rows: Rows,
    validation: Rows | None,
    settings: TrainSection,
    seed: int,
    keep: int = 1,
    guide: Guide | None = None,
    protection: Protection | None = None,
    penalty: Callable[[], Tensor | None] | None = None,
) -> Trained:
    """Fine-tune from `start` with AdamW and a learning rate that falls linearly to zero.

    With `settings.patience`, training stops once the validation loss has not improved for that
    many epochs, and the checkpoints returned end with the best one. The arguments are those of
    a `Job`, and `penalty`, which gives a term that is added to the loss of each batch.

    Raises:
        FedloraError: the loss is not finite.
    """
    job = Job(objective, start, rows, validation, settings, seed, keep, guide, protection)
    course = Course(job)
    put(objective, start)
    slot, fold = objective.slot, guide.fold if guide else None
    moves: Literal["up", "both"] = "up" if protection else "both"
    with folded(slot, fold), slot.only(moves), slot.training(seed) as parameters:
        trained = [p for p in (*parameters, *objective.head().values()) if p.requires_grad]
        rate, decay = settings.learning_rate, settings.weight_decay
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=decay)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, job.steps)
        descend = partial(_descend, job, penalty)
        if protection:
            alone = one_by_one(descend, trained)
            own = alone if guide or penalty else partial(_of_each, job, trained, alone)
            epochs = _private(job, own, trained)
        else:
            epochs = _plain(course, descend, trained)
        for epoch in epochs:
            losses = []
            for loss in epoch:
                losses.append(loss)
                optimizer.step()
                schedule.step()
            now = partial(validation_loss, job), partial(current, objective)
            if not course.close_epoch(losses, *now):
                break
        return course.trained()


def _plain(
    course: Course, descend: Callable[[Rows], Tensor], trained: list[nn.Parameter]
) -> Iterator[Iterator[Tensor]]:
    """Epoch after epoch, the loss of each batch, whose gradient is then in the model, clipped."""

    def batches() -> Iterator[Tensor]:
        for index in course.shuffle():
            loss = descend(take(course.job.rows, index))
            nn.utils.clip_grad_norm_(trained, course.job.settings.clip_norm)
            yield loss

    while True:
        yield batches()


def _private(
    job: Job, gradients: Gradients, trained: list[nn.Parameter]
) -> Iterator[Iterator[Tensor]]:
    """As `_plain`, with examples drawn by chance, each clipped, and noise on their sum."""
    protection, batch = job.protection, min(job.settings.batch_size, job.examples)
    assert protection is not None
    chance = protection.chance(job.seed)
    steps = job.steps // job.settings.epochs
    while True:
        yield (
            noisy_gradient(gradients, trained, job.rows, index, batch, protection, chance)
            for index in draws(job.examples, batch, steps, chance)
        )


def _of_each(
    job: Job, trained: list[nn.Parameter], alone: Gradients, rows: Rows
) -> tuple[Tensor, list[Tensor]]:
    """Gradients from one pass, or `alone` where the model mixes rows."""
    try:
        return gradients_of_each(job.objective, trained, rows)
    except MixedRowsError:
        return alone(rows)


def _descend(job: Job, penalty: Callable[[], Tensor | None] | None, batch: Rows) -> Tensor:
    """The loss of a batch, a scalar, whose gradient is now in the model as the guide has it."""
    for parameter in (*job.objective.slot.parameters(), *job.objective.head().values()):
        parameter.grad = None
    with replay(job.objective.slot, batch):
        loss = job.objective.loss(batch)
    more = penalty() if penalty else None
    if more is not None:
        loss = loss + more
    loss.backward()
    if job.guide:
        steer(job.guide, job.objective, job.start)
    return loss.detach()


def validation_loss(job: Job) -> float:
    """Mean loss on the job's validation rows, with the adapter as it is in the model now."""
    assert job.validation is not None
    with job.objective.slot.quiet():
        return job.objective.score(job.validation)["loss"]


def fresh(objective: Objective, seed: int, rank: int | None = None) -> LoraAdapter:
    """An adapter that changes nothing yet, beside the head as it is before training."""
    objective.slot.write(objective.slot.fresh(seed, rank))
    return objective.slot.read(objective.first_head())


def mean_gradient(
    objective: Objective, at: LoraAdapter, rows: Rows, batch_size: int, fold: LoraAdapter | None
) -> LoraAdapter:
    """Gradient of the mean loss over all rows, in the place of each value of an adapter."""
    put(objective, at)
    parameters = [*objective.slot.parameters(), *objective.head().values()]
    count = len(next(iter(rows.values())))
    for parameter in parameters:
        parameter.grad = None
    with folded(objective.slot, fold):
        for index in torch.arange(count).split(batch_size):
            batch = take(rows, index)
            with replay(objective.slot, batch):
                (objective.loss(batch) * (len(index) / count)).backward()
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(
                torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            )
            parameter.grad = None
    return current(objective)


def put(objective: Objective, adapter: LoraAdapter) -> None:
    """Make an adapter, and its head if the task has one, those that the model uses.

    Raises:
        FedloraError: the adapter does not fit the model, or lacks the task's head.
    """
    objective.slot.write(adapter)
    with torch.no_grad():
        for name, parameter in objective.head().items():
            if name not in adapter.head or adapter.head[name].shape != parameter.shape:
                raise FedloraError(f"adapter without the head '{name}' that the task trains")
            parameter.copy_(adapter.head[name])


def spec_of(objective: Objective) -> AdapterSpec:
    """The spec of the task's adapters, whatever values the model holds now."""
    head = tuple((name, tuple(tensor.shape)) for name, tensor in objective.head().items())
    return replace(objective.slot.spec, head=head)


def current(objective: Objective) -> LoraAdapter:
    """A copy of the adapter and head that the model uses now."""
    return objective.slot.read(objective.head())
