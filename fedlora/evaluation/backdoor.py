"""Whether an adapter answers to an attacker's mark."""

import torch

from fedlora.adapter import LoraAdapter
from fedlora.attacks.backdoor import Backdoor, BackdoorConfig
from fedlora.attacks.trigger import stamped
from fedlora.config import RunConfig
from fedlora.finetune.local import put
from fedlora.finetune.objectives import Objective, Rows
from fedlora.finetune.objectives.contract import take


def backdoor_of(config: RunConfig) -> BackdoorConfig | None:
    """The backdoor by which clients of a simulation attack; None where they attack by none."""
    attack = config.attackers.attack.build() if config.attackers else None
    return attack.config if isinstance(attack, Backdoor) else None


def success(
    objective: Objective, adapter: LoraAdapter, rows: Rows, backdoor: BackdoorConfig
) -> float:
    """The share of marked examples of other classes that are taken for the target.

    Of an adapter without a backdoor it is a rate of errors.

    Args:
        objective: the task.
        adapter: what a client was given.
        rows: its encoded test examples.
        backdoor: the mark, and what it is to mean.
    """
    others = take(rows, torch.nonzero(rows["labels"] != backdoor.target).flatten())
    wanted = torch.full_like(others["labels"], backdoor.target)
    put(objective, adapter)
    found = objective.score({**stamped(others, backdoor.size, backdoor.token), "labels": wanted})
    return found[objective.metric]
