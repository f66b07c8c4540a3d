"""What happens after an epoch: it is told, logged and kept."""

import os
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from typing_extensions import override

from fedlora import atomic
from fedlora.generators.contract import Progress
from fedlora.generators.training.hardware import usage


class Report(Callback):
    """Losses to whoever watches; learning rate and hardware to TensorBoard beside the losses."""

    def __init__(self, every: int, progress: Progress, behind: int) -> None:
        self._every, self._progress = every, progress
        self._resumed = {"resumed": behind} if behind else {}

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        if epoch % self._every and epoch != epochs and not trainer.should_stop:
            return
        resumed, self._resumed = self._resumed, {}
        losses = {name: float(value) for name, value in trainer.callback_metrics.items()}
        measured = {"learning_rate": trainer.optimizers[0].param_groups[0]["lr"], **usage()}
        if trainer.logger is not None:
            trainer.logger.log_metrics(measured, step=trainer.global_step)
        self._progress(
            {
                "epoch": epoch,
                "epochs": epoch if trainer.should_stop else epochs,
                "step": trainer.global_step,
                **resumed,
                **measured,
                **losses,
            }
        )


class Best(ModelCheckpoint):
    """The best checkpoints, named by epoch and validation loss, wherever their folder is moved."""

    def __init__(self, folder: Path, keep: int) -> None:
        super().__init__(
            dirpath=folder,
            filename="{epoch}-{val_loss:.4f}",
            monitor="val_loss",
            save_top_k=keep,
            enable_version_counter=False,
            save_on_train_epoch_end=False,  # before last.ckpt, which says which one was the best
        )

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What was best so far; Lightning forgets it where the folder has another name."""
        best = {self._here(path): value for path, value in state_dict["best_k_models"].items()}
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: self._here(state_dict[name]) for name in paths}
        place = {"dirpath": self.dirpath, "best_k_models": best}
        super().load_state_dict({**state_dict, **moved, **place})

    def _here(self, path: str) -> str:
        return str(Path(self.dirpath or "") / Path(path).name) if path else ""


class Save(Callback):
    """Lightning's own checkpoint, under one name that is replaced whole.

    After the first epoch that ends so many seconds after the last one saved: a slow training loses
    no more than a fast one, and a fast one is not slowed down.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds, self._saved = path, seconds, time.monotonic()

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        due = time.monotonic() - self._saved >= self._seconds
        if due or epoch == trainer.max_epochs or trainer.should_stop:
            part = self._path.with_name(f".{self._path.name}.part")
            with atomic.explained(self._path):
                trainer.save_checkpoint(part)
                os.replace(part, self._path)
            self._saved = time.monotonic()
