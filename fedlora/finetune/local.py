"""One client's training: one adapter, one shard, one seed."""

import math
from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.config import TrainSection
from fedlora.errors import FedloraError
from fedlora.finetune.objectives import Objective, Rows
from fedlora.finetune.objectives.contract import take


@dataclass(frozen=True)
class Trained:
    """What local training gives back.

    adapters: the last checkpoints, one an epoch, oldest first; the last is the result.
    curve: mean training loss of each epoch.
    validation: validation loss after each epoch; empty without validation rows.
    """

    adapters: list[LoraAdapter]
    curve: list[float]
    validation: list[float] = field(default_factory=list)


def train(
    objective: Objective,
    start: LoraAdapter,
    rows: Rows,
    validation: Rows | None,
    settings: TrainSection,
    seed: int,
    keep: int = 1,
) -> Trained:
    """Fine-tune from `start` with AdamW and a learning rate that falls linearly to zero.

    With `settings.patience`, training stops once the validation loss has not improved for that
    many epochs, and the checkpoints returned end with the best one.

    Args:
        objective: the task on its wrapped base model; the adapter in it is overwritten.
        start: the first adapter.
        rows: n encoded training examples.
        validation: encoded validation examples, or None.
        settings: epochs, batch size and optimiser settings.
        seed: decides the order of examples and the dropout.
        keep: how many of the last epochs' adapters to return.

    Raises:
        FedloraError: the loss is not finite.
    """
    put(objective, start)
    order = seeding.generator(seed, "order")
    examples = len(next(iter(rows.values())))
    steps = settings.epochs * -(-examples // settings.batch_size)
    kept: deque[LoraAdapter] = deque(maxlen=keep)
    curve: list[float] = []
    losses: list[float] = []
    with objective.slot.training(seed) as parameters:
        trained = [*parameters, *objective.head().values()]
        optimizer = torch.optim.AdamW(
            trained, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
        for _ in range(settings.epochs):
            total: list[Tensor] = []
            for index in torch.randperm(examples, generator=order).split(settings.batch_size):
                loss = objective.loss(take(rows, index))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(trained, settings.clip_norm)
                optimizer.step()
                schedule.step()
                total.append(loss.detach())
            curve.append(_finite(float(torch.stack(total).mean())))
            best = True
            if validation is not None:
                losses.append(objective.score(validation)["loss"])
                best = losses[-1] <= min(losses)
            if settings.patience is None or validation is None or best:
                kept.append(current(objective))
            elif _epochs_since_best(losses) >= settings.patience:
                break
    return Trained(list(kept), curve, losses)


def fresh(objective: Objective, seed: int) -> LoraAdapter:
    """An adapter that changes nothing yet, beside the head as it is before training."""
    objective.slot.write(objective.slot.fresh(seed))
    return objective.slot.read(objective.first_head())


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


def current(objective: Objective) -> LoraAdapter:
    """A copy of the adapter and head that the model uses now."""
    return objective.slot.read(objective.head())


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise FedloraError(f"training loss is {loss}; lower the learning rate")
    return loss


def _epochs_since_best(losses: list[float]) -> int:
    return len(losses) - 1 - losses.index(min(losses))
