"""What a client does so that nobody learns of its single examples: noise, by the run's budgets."""

import functools

from torch import Tensor

from fedlora import seeding
from fedlora.config import RunConfig
from fedlora.finetune.objectives import Objective, Rows
from fedlora.finetune.private import Protection
from fedlora.finetune.task_vector import noisy_task_vector, task_vector
from fedlora.privacy.accounting import noise_multiplier
from fedlora.privacy.chance import chance_of, repeats
from fedlora.privacy.planning import planned

_multiplier = functools.lru_cache(noise_multiplier)


def protection_of(config: RunConfig, examples: int) -> Protection | None:
    """The noise on a client's training that spends the budget over the whole run, and no more.

    Raises:
        FedloraError: the budget is too small for so many steps.
    """
    budget = config.privacy.examples if config.privacy else None
    if budget is None:
        return None
    return Protection(budget.clip, _multiplier(budget, planned(config, examples)), repeats(config))


def vector_of(config: RunConfig, objective: Objective, rows: Rows, seed: int) -> Tensor:
    """The task vector as it is sent."""
    budget = config.privacy.task_vector if config.privacy else None
    if budget is None:
        return task_vector(objective, rows, config.task_vector)
    chance = chance_of(seeding.derive(seed, "task vector"), repeats(config))
    releases = len(config.seeds)
    return noisy_task_vector(objective, rows, config.task_vector, budget, chance, releases)


def keeps_scores(config: RunConfig) -> bool:
    """Whether losses and scores of its examples stay with a bank's client."""
    return config.privacy is not None and config.privacy.examples is not None
