"""What happens after an epoch: it is told, logged and kept."""

import os
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from fedlora import atomic
from fedlora.generators.contract import Progress
from fedlora.generators.training.hardware import usage


class Report(Callback):
    """Losses to whoever watches; learning rate and hardware to TensorBoard beside the losses."""

    def __init__(self, every: int, progress: Progress) -> None:
        self._every, self._progress = every, progress

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        if epoch % self._every and epoch != epochs and not trainer.should_stop:
            return
        losses = {name: float(value) for name, value in trainer.callback_metrics.items()}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        if trainer.logger is not None:
            measured = {"learning_rate": rate, **usage()}
            trainer.logger.log_metrics(measured, step=trainer.global_step)
        self._progress(
            {
                "epoch": epoch,
                "epochs": epoch if trainer.should_stop else epochs,
                "step": trainer.global_step,
                "learning_rate": rate,
                **losses,
            }
        )


class Save(Callback):
    """Lightning's own checkpoint, under one name that is replaced whole."""

    def __init__(self, path: Path, every: int) -> None:
        self._path, self._every = path, every

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if epoch % self._every == 0 or epoch == trainer.max_epochs or trainer.should_stop:
            part = self._path.with_name(f".{self._path.name}.part")
            with atomic.explained(self._path):
                trainer.save_checkpoint(part)
                os.replace(part, self._path)
