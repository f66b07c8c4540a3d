"""What the training harness trains, and how long."""

from abc import ABC, abstractmethod

import torch
from pydantic import Field
from torch import Tensor, nn

from fedlora.section import Section


class Learner(nn.Module, ABC):
    """A network that the harness can train."""

    @abstractmethod
    def losses(self, *batch: Tensor, done: float, noise: torch.Generator) -> dict[str, Tensor]:
        """Named scalars of one batch; "loss" is the one that is minimised.

        done: the share of the training that lies behind, 0 to 1, for schedules.
        noise: a CPU generator for every random number of this step.
        """


class Plan(Section):
    """AdamW, gradients clipped to norm 1, the learning rate falling to 0 along a cosine."""

    epochs: int = Field(1500, ge=1)
    batch_size: int = Field(128, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    save_every: int = Field(100, ge=1, description="epochs between checkpoints")
