"""A learner as Lightning trains it."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from typing_extensions import override

from fedlora import seeding
from fedlora.errors import FedloraError
from fedlora.generators.learner import Data, Learner, Plan


class Module(LightningModule):
    """Which rows a step sees follows from the epoch and the step, so a resumed one sees the same.

    Lightning's own shuffling does not: it tells a sampler the epoch too late after a resume.
    """

    def __init__(
        self,
        learner: Learner,
        data: Data,
        plan: Plan,
        seed: int,
        identity: str,
        validation: Data | None,
    ) -> None:
        super().__init__()
        self.learner = learner
        self.steps = math.ceil(len(data) / plan.batch_size)
        self.judging_steps = math.ceil(len(validation or ()) / plan.batch_size)
        self._data, self._plan, self._seed, self._identity = data, plan, seed, identity
        self._validation = validation

    @override
    def training_step(self, step: int, batch_idx: int) -> Tensor:
        shuffle = seeding.generator(self._seed, "order", self.current_epoch)
        order = torch.randperm(len(self._data), generator=shuffle)
        rows = order.split(self._plan.batch_size)[batch_idx]
        draw = seeding.generator(self._seed, "draw", self.current_epoch)
        noise = seeding.generator(self._seed, "noise", self.global_step)
        done = self.global_step / (self._plan.epochs * self.steps)
        batch = (column.to(self.device) for column in self._data.take(rows, draw))
        losses = self.learner.losses(*batch, done=done, noise=noise)
        if not bool(torch.isfinite(losses["loss"])):
            raise FedloraError(
                "the generator's loss is not finite: lower generator.training.learning_rate"
            )
        self.log_dict(losses, on_step=False, on_epoch=True, batch_size=len(rows))
        return losses["loss"]

    @override
    def validation_step(self, step: int, batch_idx: int) -> None:
        """Always on the same draw and noise, so that epochs can be compared."""
        assert self._validation is not None
        rows = torch.arange(len(self._validation)).split(self._plan.batch_size)[batch_idx]
        columns = self._validation.take(rows, seeding.generator(self._seed, "judged"))
        batch = (column.to(self.device) for column in columns)
        noise = seeding.generator(self._seed, "judged noise", batch_idx)
        losses = self.learner.losses(*batch, done=1.0, noise=noise)
        self.log_dict({f"val_{n}": value for n, value in losses.items()}, batch_size=len(rows))

    @override
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.learner.parameters(),
            lr=self._plan.learning_rate,
            weight_decay=self._plan.weight_decay,
        )
        steps = self._plan.epochs * self.steps
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["identity"] = self._identity
        checkpoint["stopped"] = bool(self.trainer.should_stop)
