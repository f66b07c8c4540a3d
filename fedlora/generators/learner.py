"""What the training harness trains, on what, and how long."""

import hashlib
from abc import ABC, abstractmethod
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from fedlora.section import Section


class Learner(nn.Module, ABC):
    """A network that the harness can train."""

    @abstractmethod
    def losses(self, *batch: Tensor, done: float, noise: torch.Generator) -> dict[str, Tensor]:
        """Named scalars of one batch; "loss" is the one that is minimised.

        done: the share of the training that lies behind, 0 to 1, for schedules.
        noise: a CPU generator for every random number of this step.
        """


class Data(ABC):
    """The examples that a learner sees in one epoch."""

    @abstractmethod
    def __len__(self) -> int:
        """Their number, the same in every epoch."""

    @abstractmethod
    def take(self, rows: Tensor, draw: torch.Generator) -> tuple[Tensor, ...]:
        """The batch of these rows (b,), as columns (b, ...).

        draw: seeded alike throughout an epoch, for what is drawn anew in each.
        """


class Columns(Data):
    """The same rows in every epoch."""

    def __init__(self, *columns: Tensor) -> None:
        self._columns = columns

    @override
    def __len__(self) -> int:
        return len(self._columns[0])

    @override
    def take(self, rows: Tensor, draw: torch.Generator) -> tuple[Tensor, ...]:
        return tuple(column[rows] for column in self._columns)


class Plan(Section):
    """AdamW, gradients clipped, the learning rate falling to 0 along a cosine."""

    epochs: int = Field(1500, ge=1)
    batch_size: int = Field(128, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    clip_norm: float = Field(1.0, gt=0, description="largest norm of a step's gradient")
    save_seconds: float = Field(20, ge=0, description="between checkpoints to resume from")
    keep_best: int = Field(1, ge=1, description="checkpoints kept by their validation loss")
    patience: int | None = Field(
        None, ge=1, description="epochs without a better validation loss after which it stops"
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    device: Literal["auto", "cpu", "gpu"] = "auto"


def identity(config: Section, seed: int, *tensors: Tensor) -> str:
    """Digest of all that the weights depend on, which a checkpoint to be resumed must share."""
    said = config.model_dump_json(exclude={"training": {"save_seconds", "keep_best"}})
    digest = hashlib.sha256(f"{said} {seed}".encode())
    for tensor in tensors:
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
