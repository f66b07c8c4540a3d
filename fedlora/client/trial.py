"""What a newcomer would have had without the federation, measured on its own data."""

import math
from collections.abc import Mapping

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.client.desk import Desk
from fedlora.config import RunConfig
from fedlora.finetune.job import Job
from fedlora.finetune.local import fresh, put
from fedlora.finetune.objectives import Objective, Rows
from fedlora.finetune.trainer import Trainer
from fedlora.spans import span
from fedlora.wire.message import JSON


@span("evaluation")
def score(objective: Objective, adapter: LoraAdapter, rows: Rows) -> dict[str, float]:
    """Mean loss and metric of an adapter on encoded examples."""
    put(objective, adapter)
    return objective.score(rows)


def local_methods(
    config: RunConfig,
    desk: Desk,
    candidates: Mapping[str, LoraAdapter],
    trainer: Trainer,
    run_seed: int,
    seed: int,
) -> dict[str, JSON]:
    """Test scores of what a newcomer can do with its own data.

    base: the frozen model alone. few_labels: LoRA on a few labelled examples. local: LoRA on the
    whole shard, the ceiling; both start from the warm start, also where rounds of growth let the
    bank's clients start from what was generated for them. zero_one_epoch, warm_one_epoch and
    generated_one_epoch: one local epoch from a fresh adapter, from the warm start, and from the
    generated adapter.
    """
    objective, settings = desk.objective, config.finetune
    zero = fresh(objective, seeding.derive(run_seed, "start"))
    start = candidates.get("warm", zero)
    once = settings.model_copy(update={"epochs": 1, "patience": None})
    few = desk.few(config.evaluation.few_labels, seed)
    few_size = min(config.evaluation.few_labels, desk.examples)
    # As many steps as the whole shard gets, or few labels would lose for want of training.
    steps = settings.epochs * math.ceil(desk.examples / settings.batch_size)
    epochs = math.ceil(steps / math.ceil(few_size / settings.batch_size))
    patient = settings.model_copy(update={"epochs": epochs, "patience": None})
    validation = desk.validation if settings.patience else None
    runs = {
        "few_labels": (start, few, None, patient),
        "local": (start, desk.train, validation, settings),
    }
    if config.evaluation.one_epoch:
        runs["zero_one_epoch"] = (zero, desk.train, None, once)
        for name in ("warm", "generated"):
            if name in candidates:
                runs[f"{name}_one_epoch"] = (candidates[name], desk.train, None, once)
    put(objective, zero)  # `up` is zero: this is the base model
    values: dict[str, JSON] = {"base": objective.score(desk.test)}
    jobs = [Job(objective, *run, seeding.derive(seed, name)) for name, run in runs.items()]
    with span("training"):
        done = trainer.train(jobs)
    for name, one in zip(runs, done, strict=True):
        values[name] = score(objective, one.result().adapters[-1], desk.test)
    return values
