"""One client's training, as it is ordered and as it is delivered."""

from dataclasses import dataclass, field
from typing import NamedTuple

from fedlora.adapter import LoraAdapter
from fedlora.config import TrainSection
from fedlora.finetune.guide import Guide
from fedlora.finetune.objectives import Objective, Rows
from fedlora.finetune.private import Protection


class Job(NamedTuple):
    """Fine-tune from `start`.

    objective: the task on its wrapped base model; the adapter in it may be overwritten.
    start: the first adapter.
    rows: n encoded training examples.
    validation: encoded validation examples, or None.
    settings: epochs, batch size and optimiser settings.
    seed: decides the order of examples and the dropout.
    keep: how many of the last epochs' adapters to return.
    guide: how a federated method has it depart from plain fine-tuning; None where it does not.
    protection: noise against what the result tells of one example; `down` is then fixed.
    """

    objective: Objective
    start: LoraAdapter
    rows: Rows
    validation: Rows | None
    settings: TrainSection
    seed: int
    keep: int = 1
    guide: Guide | None = None
    protection: Protection | None = None

    @property
    def examples(self) -> int:
        """Training examples."""
        return len(next(iter(self.rows.values())))

    @property
    def steps(self) -> int:
        """Optimiser steps, if nothing stops the training early."""
        return self.settings.epochs * -(-self.examples // self.settings.batch_size)


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
