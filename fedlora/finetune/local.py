"""One client's training: one adapter, one shard, one seed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.backbone.fold import folded
from fedlora.config import TrainSection
from fedlora.errors import FedloraError
from fedlora.finetune.activation_cache import replay
from fedlora.finetune.course import Course
from fedlora.finetune.guide import Guide, steer
from fedlora.finetune.job import Job, Trained
from fedlora.finetune.objectives import Objective, Rows
from fedlora.finetune.objectives.contract import take


def train(
    objective: Objective,
    start: LoraAdapter,
    rows: Rows,
    validation: Rows | None,
    settings: TrainSection,
    seed: int,
    keep: int = 1,
    guide: Guide | None = None,
    penalty: Callable[[], Tensor | None] | None = None,
) -> Trained:
    """Fine-tune from `start` with AdamW and a learning rate that falls linearly to zero.

    With `settings.patience`, training stops once the validation loss has not improved for that
    many epochs, and the checkpoints returned end with the best one. The arguments are those of
    a `Job`, and `penalty`, which gives a term that is added to the loss of each batch.

    Raises:
        FedloraError: the loss is not finite.
    """
    job = Job(objective, start, rows, validation, settings, seed, keep, guide)
    course = Course(job)
    put(objective, start)
    slot, fold = objective.slot, guide.fold if guide else None
    with folded(slot, fold), slot.training(seed) as parameters:
        trained = [*parameters, *objective.head().values()]
        rate, decay = settings.learning_rate, settings.weight_decay
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=decay)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, job.steps)
        while True:
            losses = []
            for index in course.shuffle():
                optimizer.zero_grad(set_to_none=True)
                losses.append(_descend(job, take(rows, index), penalty))
                nn.utils.clip_grad_norm_(trained, settings.clip_norm)
                optimizer.step()
                schedule.step()
            now = partial(validation_loss, job), partial(current, objective)
            if not course.close_epoch(losses, *now):
                return course.trained()


def _descend(job: Job, batch: Rows, penalty: Callable[[], Tensor | None] | None) -> Tensor:
    """The loss of a batch, a scalar, whose gradient is now in the model as the guide has it."""
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
