"""The one place where generators are trained, with PyTorch Lightning.

A fit that is killed goes on from `last.ckpt` and ends with the same weights, bit for bit: every
random number is drawn from a seed that depends on the epoch or the step alone.
"""

import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from typing_extensions import override

from fedlora import seeding
from fedlora.errors import FedloraError
from fedlora.generators.contract import Progress
from fedlora.generators.learner import Learner, Plan

CHECKPOINT = "last.ckpt"
REPORTS = 100

L = TypeVar("L", bound=Learner)


def train(
    make: Callable[[], L],
    data: tuple[Tensor, ...],
    plan: Plan,
    *,
    seed: int,
    identity: str,
    workdir: Path,
    progress: Progress,
) -> L:
    """The network that `make` builds, trained on rows of `data`, on the CPU.

    workdir: keeps last.ckpt and the TensorBoard logs.
    identity: names the data and the config; a checkpoint of another identity is not resumed.
    progress: about a hundred times, the epoch, the epochs in all, and the mean losses.

    The global random generators are as before afterwards.

    Raises:
        FedloraError: the checkpoint in `workdir` is damaged, or the loss becomes NaN or infinite.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with _quiet(), isolate_rng():
        torch.manual_seed(seeding.derive(seed, "weights"))
        learner = make()
        module = _Module(learner, data, plan, seed, identity)
        trainer = Trainer(
            max_epochs=plan.epochs,
            accelerator="cpu",
            devices=1,
            gradient_clip_val=1.0,
            logger=TensorBoardLogger(workdir, name="tensorboard", version=""),
            log_every_n_steps=max(1, plan.epochs * module.steps // REPORTS),
            callbacks=[_Report(plan, progress), _Save(workdir / CHECKPOINT, plan.save_every)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        resume = _resumable(workdir / CHECKPOINT, identity)
        trainer.fit(module, range(module.steps), ckpt_path=resume, weights_only=True)
    return learner.cpu().eval()


class _Module(LightningModule):
    """Which rows a step sees follows from the epoch and the step, so a resumed one sees the same.

    Lightning's own shuffling does not: it tells a sampler the epoch too late after a resume.
    """

    def __init__(
        self, learner: Learner, data: tuple[Tensor, ...], plan: Plan, seed: int, identity: str
    ) -> None:
        super().__init__()
        self.learner = learner
        self.steps = math.ceil(len(data[0]) / plan.batch_size)
        self._data, self._plan, self._seed, self._identity = data, plan, seed, identity

    @override
    def training_step(self, step: int, batch_idx: int) -> Tensor:
        shuffle = seeding.generator(self._seed, "order", self.current_epoch)
        order = torch.randperm(len(self._data[0]), generator=shuffle)
        rows = order.split(self._plan.batch_size)[batch_idx]
        batch = [column[rows].to(self.device) for column in self._data]
        noise = seeding.generator(self._seed, "noise", self.global_step)
        done = self.global_step / (self._plan.epochs * self.steps)
        losses = self.learner.losses(*batch, done=done, noise=noise)
        if not bool(torch.isfinite(losses["loss"])):
            raise FedloraError(
                "the generator's loss is not finite: lower generator.training.learning_rate"
            )
        self.log_dict(losses, on_step=False, on_epoch=True, batch_size=len(rows))
        return losses["loss"]

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


class _Report(Callback):
    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._every = max(1, plan.epochs // REPORTS)
        self._epochs, self._progress = plan.epochs, progress

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if epoch % self._every == 0 or epoch == self._epochs:
            losses = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self._progress({"epoch": epoch, "epochs": self._epochs, **losses})


class _Save(Callback):
    """Lightning's own checkpoint, under one name that is replaced whole."""

    def __init__(self, path: Path, every: int) -> None:
        self._path, self._every = path, every

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if epoch % self._every == 0 or epoch == trainer.max_epochs:
            part = self._path.with_name(f".{self._path.name}.part")
            trainer.save_checkpoint(part)
            os.replace(part, self._path)


def _resumable(path: Path, identity: str) -> Path | None:
    """The checkpoint, if it is there and of the same data and config."""
    if not path.exists():
        return None
    try:
        checkpoint: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, OSError, UnpicklingError) as error:
        raise FedloraError(f"{path}: damaged ({error}); delete it to train afresh") from None
    return path if checkpoint.get("identity") == identity else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning speaks of devices, workers and tips; a fit inside a run has nothing to add."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
