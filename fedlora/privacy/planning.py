"""The noisy steps that a run asks of a client."""

from collections.abc import Mapping

from fedlora.config import RunConfig, TrainSection
from fedlora.privacy.accounting import Steps

TURNS = ("warm_start", "growth", "finetune")
"""Phases in which a client of the bank trains."""


def planned(config: RunConfig, examples: int) -> tuple[Steps, ...]:
    """All steps that a bank's client takes in a run's seeds, if it takes part in every round."""
    rounds = {"warm_start": config.warm_start.rounds, "growth": config.growth.rounds, "finetune": 1}
    return taken(config, examples, {name: len(config.seeds) * n for name, n in rounds.items()})


def taken(config: RunConfig, examples: int, turns: Mapping[str, int]) -> tuple[Steps, ...]:
    """The steps of a client that trained so often in each of `TURNS`."""
    settings: tuple[TrainSection, ...]
    settings = (config.warm_start.train, config.growth.train, config.finetune)
    times = (turns["warm_start"], turns["growth"], config.finetune.repeats * turns["finetune"])
    return tuple(_steps(each, examples, n) for each, n in zip(settings, times, strict=True))


def _steps(settings: TrainSection, examples: int, times: int) -> Steps:
    batch = min(settings.batch_size, examples)
    return Steps(batch / examples, times * settings.epochs * -(-examples // batch))
