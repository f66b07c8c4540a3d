"""Train one network: what is kept on the way, and what comes out."""

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.seed import isolate_rng

from fedlora import seeding
from fedlora.errors import FedloraError
from fedlora.generators.contract import Progress
from fedlora.generators.learner import Data, Learner, Plan
from fedlora.generators.training.callbacks import Best, Report, Save
from fedlora.generators.training.module import Module
from fedlora.quiet import quiet

CHECKPOINT = "checkpoints/last.ckpt"
LOGS = "tensorboard_logs"
REPORTS = 100

L = TypeVar("L", bound=Learner)


def train(
    make: Callable[[], L],
    data: Data,
    plan: Plan,
    *,
    seed: int,
    identity: str,
    workdir: Path,
    progress: Progress,
    validation: Data | None = None,
) -> L:
    """The network that `make` builds, trained; on the CPU afterwards, ready to be used.

    workdir: keeps checkpoints/last.ckpt, the best checkpoints where there is validation data, and
        tensorboard_logs/.
    identity: names the data and the config; a checkpoint of another identity is not resumed.
    progress: about a hundred times, the epoch, the epochs in all, and the mean losses; the first
        time after a checkpoint `resumed` as well, the epochs that lay behind.
    validation: judged about a hundred times; the weights that come out are then the best ones,
        and with `plan.patience` the training stops when they have been for that long.

    The global random generators are as before afterwards.

    Raises:
        FedloraError: the checkpoint in `workdir` is damaged, the loss becomes NaN or infinite, or
            there is no such device.
        KeyboardInterrupt: at Ctrl-C or SIGTERM; another call goes on from the last checkpoint.
    """
    last = workdir / CHECKPOINT
    last.parent.mkdir(parents=True, exist_ok=True)
    with _quiet(), isolate_rng():
        torch.manual_seed(seeding.derive(seed, "weights"))
        learner = make()
        module = Module(learner, data, plan, seed, identity, validation)
        _fit(module, plan, _resumable(last, identity), workdir, progress, validation is not None)
    return learner.cpu().eval()


def _fit(
    module: Module,
    plan: Plan,
    resumed: dict[str, Any] | None,
    workdir: Path,
    progress: Progress,
    judged: bool,
) -> None:
    """Train the module, from its last checkpoint if there is one; judged, to its best weights."""
    last, every = workdir / CHECKPOINT, max(1, plan.epochs // REPORTS)
    behind = resumed["epoch"] + 1 if resumed else 0
    best = [Best(last.parent, plan.keep_best)] if judged else []
    stop = [_stopping(plan.patience, every)] if judged and plan.patience else []
    trainer = _trainer(
        plan,
        max_epochs=behind if resumed and resumed["stopped"] else plan.epochs,
        logger=TensorBoardLogger(workdir, name=LOGS, version=""),
        log_every_n_steps=max(1, plan.epochs * module.steps // REPORTS),
        check_val_every_n_epoch=every,
        callbacks=[*best, *stop, Report(every, progress, behind), Save(last, plan.save_seconds)],
        enable_checkpointing=judged,
    )
    steps, judging = range(module.steps), range(module.judging_steps) if judged else None
    start = last if resumed else None
    with _interruptible():
        trainer.fit(module, steps, judging, ckpt_path=start, weights_only=True)
    if best and best[0].best_model_path:
        (weights,) = _saved(Path(best[0].best_model_path), "state_dict")
        module.load_state_dict(weights)


def _trainer(plan: Plan, **options: Any) -> Trainer:
    """Raises FedloraError where the device or the precision is not to be had."""
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        return Trainer(
            accelerator=plan.device,
            devices=1,
            precision=plan.precision,
            gradient_clip_val=plan.clip_norm,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **options,
        )
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise FedloraError(
            f"training.device={plan.device}, training.precision={plan.precision}: {reason}"
        ) from None


def _stopping(epochs: int, every: int) -> EarlyStopping:
    """Ends a training that no longer helps; before last.ckpt is written, which says so."""
    checks = -(-epochs // every)
    return EarlyStopping(monitor="val_loss", patience=checks, check_on_train_epoch_end=False)


def _resumable(path: Path, identity: str) -> dict[str, Any] | None:
    """Where the last checkpoint stands, if it is there and of the same data and config."""
    if not path.exists():
        return None
    of, epoch, stopped = _saved(path, "identity", "epoch", "stopped")
    return {"epoch": epoch, "stopped": stopped} if of == identity else None


def _saved(path: Path, *names: str) -> list[Any]:
    """What a checkpoint has under these names."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        return [checkpoint[name] for name in names]
    except (
        RuntimeError, ValueError, EOFError, OSError, UnpicklingError, KeyError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:120]
        raise FedloraError(
            f"{path}: damaged ({reason}); delete {path.parent} to train afresh"
        ) from None


@contextmanager
def _interruptible() -> Iterator[None]:
    """Lightning leaves the process at a signal, deaf to another; whoever called is to decide."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning speaks of devices, workers and tips; a fit inside a run has nothing to add."""
    with quiet("lightning.pytorch", "lightning.fabric"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
