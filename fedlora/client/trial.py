"""What a newcomer would have had without the federation, measured on its own data."""

from collections.abc import Mapping

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.client.desk import Desk
from fedlora.config import RunConfig
from fedlora.finetune.local import fresh, put, train
from fedlora.finetune.objectives import Objective, Rows
from fedlora.wire.message import JSON


def score(objective: Objective, adapter: LoraAdapter, rows: Rows) -> dict[str, float]:
    """Mean loss and metric of an adapter on encoded examples."""
    put(objective, adapter)
    return objective.score(rows)


def local_methods(
    config: RunConfig,
    desk: Desk,
    candidates: Mapping[str, LoraAdapter],
    run_seed: int,
    seed: int,
) -> dict[str, JSON]:
    """Test scores of everything that needs no bank.

    base: the frozen model alone. few_labels: LoRA on a few labelled examples. local: LoRA on the
    whole shard, the ceiling; both start where the bank's clients started. generated_one_epoch and
    zero_one_epoch: one local epoch from the generated adapter, and from a fresh one.
    """
    objective, settings = desk.objective, config.finetune
    zero = fresh(objective, seeding.derive(run_seed, "start"))
    start = candidates.get("warm", zero)
    once = settings.model_copy(update={"epochs": 1, "patience": None})
    few = desk.few(config.evaluation.few_labels, seed)
    validation = desk.validation if settings.patience else None
    runs = {
        "few_labels": (start, few, None, settings.model_copy(update={"patience": None})),
        "local": (start, desk.train, validation, settings),
    }
    if config.evaluation.one_epoch:
        runs["zero_one_epoch"] = (zero, desk.train, None, once)
        if "generated" in candidates:
            runs["generated_one_epoch"] = (candidates["generated"], desk.train, None, once)
    put(objective, zero)  # `up` is zero: this is the base model
    values: dict[str, JSON] = {"base": objective.score(desk.test)}
    for name, (first, rows, watched, how) in runs.items():
        trained = train(objective, first, rows, watched, how, seeding.derive(seed, name))
        values[name] = score(objective, trained.adapters[-1], desk.test)
    return values
