"""The harness: a killed fit goes on where it was, and ends where it would have ended."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from fedlora.errors import FedloraError
from fedlora.generators.cvae import CvaeConfig
from fedlora.generators.learner import Columns, Learner, Plan, identity
from fedlora.generators.training import CHECKPOINT, LOGS, train

PLAN = Plan(epochs=30, batch_size=16, learning_rate=1e-2, save_seconds=0)
KILLED_AT = 17


class Noisy(Learner):
    """A regression whose every step draws noise and whose loss follows a schedule."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Sequential(nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 3))

    def losses(self, *batch: Tensor, done: float, noise: torch.Generator) -> dict[str, Tensor]:
        inputs, targets = batch
        blurred = inputs + 0.1 * torch.randn(inputs.shape, generator=noise)
        miss = torch.mean((self.map(blurred) - targets) ** 2)
        return {"loss": miss * (1 + done), "miss": miss}


def data(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(40, 6, generator=generator)
    return inputs, inputs[:, :3] ** 2


STOPPING = Plan(
    epochs=100, batch_size=16, learning_rate=0.3, save_seconds=0, patience=4, keep_best=2
)
"""Judged after every epoch, at a rate too high for it to become better for long."""


def fit(
    workdir: Path,
    identity: str = "same",
    plan: Plan = PLAN,
    stop: int = 0,
    judged: bool = False,
    told: list[float] | None = None,
    by: signal.Signals = signal.SIGKILL,
) -> Tensor:
    """The trained weights as one vector; stopped by a signal after epoch `stop`, if given.

    told: takes the epochs that are reported.
    """

    def progress(losses: Mapping[str, float]) -> None:
        if told is not None:
            told.append(losses["epoch"])
        if losses["epoch"] == stop:
            os.kill(os.getpid(), by)

    learner = train(
        Noisy,
        Columns(*data()),
        plan,
        seed=3,
        identity=identity,
        workdir=workdir,
        progress=progress,
        validation=Columns(*data(1)) if judged else None,
    )
    return torch.cat([p.detach().flatten() for p in learner.parameters()])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    return fit(tmp_path_factory.mktemp("whole"))


@pytest.fixture(autouse=True)
def _heeds_ctrl_c() -> Iterator[None]:
    """Also as a background job of a shell, which is born deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_killed_fit_resumes_to_the_same_weights(uninterrupted: Tensor, tmp_path: Path) -> None:
    killed(f"fit(Path(sys.argv[1]), stop={KILLED_AT})", tmp_path)
    assert epochs_done(tmp_path) == KILLED_AT - 1

    assert torch.equal(fit(tmp_path), uninterrupted)


def test_ctrl_c_ends_a_fit_as_it_ends_anything_else(uninterrupted: Tensor, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop=KILLED_AT, by=signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is handler
    assert epochs_done(tmp_path) == KILLED_AT - 1

    assert torch.equal(fit(tmp_path), uninterrupted)


def test_checkpoints_come_by_the_clock(tmp_path: Path) -> None:
    rarely = PLAN.model_copy(update={"save_seconds": 3600})
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, plan=rarely, stop=KILLED_AT, by=signal.SIGINT)
    assert epochs_done(tmp_path) == 0
    fit(tmp_path, plan=rarely)
    assert epochs_done(tmp_path) == PLAN.epochs


def epochs_done(workdir: Path) -> int:
    """That the checkpoint there has behind it; 0 without one."""
    path = workdir / CHECKPOINT
    return torch.load(path, weights_only=True)["epoch"] + 1 if path.exists() else 0


def killed(call: str, workdir: Path) -> None:
    """A fit in a process of its own, which kills itself."""
    names = "import sys; from pathlib import Path; from tests.generators.test_training import *; "
    done = subprocess.run(
        [sys.executable, "-c", names + call, str(workdir)], check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tensor, list[float]]:
    """What stops early: its weights, and the epochs that were reported."""
    told: list[float] = []
    return fit(tmp_path_factory.mktemp("stopped"), plan=STOPPING, judged=True, told=told), told


@pytest.mark.parametrize("moved", [False, True])
def test_a_killed_fit_stops_as_early_wherever_it_was_moved(stopped, tmp_path: Path, moved: bool):
    weights, told = stopped
    assert 8 < told[-1] < 60
    killed(
        f"fit(Path(sys.argv[1]), plan=STOPPING, judged=True, stop={told[-1] - 2})", tmp_path / "a"
    )
    place = (tmp_path / "a").rename(tmp_path / "b") if moved else tmp_path / "a"

    again: list[float] = []
    assert torch.equal(fit(place, plan=STOPPING, judged=True, told=again), weights)
    assert again[0] > 1
    assert again[-1] == told[-1]
    twice: list[float] = []
    assert torch.equal(fit(place, plan=STOPPING, judged=True, told=twice), weights)
    assert twice == []


def test_a_fit_that_was_saved_long_before_its_best_ends_as_if_never_stopped(
    stopped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, told = stopped
    clock = iter(range(10_000))
    monkeypatch.setattr("fedlora.generators.training.callbacks.time.monotonic", lambda: next(clock))
    rarely = STOPPING.model_copy(update={"save_seconds": 11})
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, plan=rarely, judged=True, stop=told[-1] - 1, by=signal.SIGINT)
    assert 0 < epochs_done(tmp_path) < told[-1] - 3
    again: list[float] = []
    assert torch.equal(fit(tmp_path, plan=rarely, judged=True, told=again), weights)
    assert again[-1] == told[-1]


def test_how_often_it_is_saved_may_be_changed(uninterrupted: Tensor, tmp_path: Path) -> None:
    plans = [PLAN, PLAN.model_copy(update={"save_seconds": 60.0, "keep_best": 3})]
    digests = {identity(CvaeConfig(training=plan), 0) for plan in plans}
    assert len(digests) == 1
    other = PLAN.model_copy(update={"epochs": 31})
    assert identity(CvaeConfig(training=other), 0) not in digests


def test_a_finished_fit_is_not_done_again(uninterrupted: Tensor, tmp_path: Path) -> None:
    fit(tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()
    assert torch.equal(fit(tmp_path), uninterrupted)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_of_other_data_is_not_resumed(uninterrupted: Tensor, tmp_path: Path) -> None:
    fit(tmp_path, identity="other", plan=PLAN.model_copy(update={"epochs": 10}))
    assert torch.equal(fit(tmp_path), uninterrupted)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    fit(tmp_path, plan=PLAN.model_copy(update={"epochs": 5}))
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(FedloraError, match=r"last\.ckpt: damaged.*delete") as caught:
        fit(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_damaged_best_checkpoint_is_named(tmp_path: Path) -> None:
    fit(tmp_path, judged=True)
    (best,) = (tmp_path / CHECKPOINT).parent.glob("epoch=*.ckpt")
    best.write_bytes(best.read_bytes()[:-200])
    with pytest.raises(FedloraError, match=r"epoch=.*: damaged.*delete .*checkpoints to train"):
        fit(tmp_path, judged=True)


def test_progress_counts_the_epochs_and_the_losses_fall(tmp_path: Path) -> None:
    seen: list[Mapping[str, float]] = []
    train(
        Noisy, Columns(*data()), PLAN, seed=3, identity="a", workdir=tmp_path, progress=seen.append
    )
    assert [losses["epoch"] for losses in seen] == list(range(1, 31))
    assert seen[-1]["miss"] < 0.8 * seen[0]["miss"]
    assert list((tmp_path / LOGS).glob("events.*"))


def test_a_loss_that_is_not_finite_stops_the_fit(tmp_path: Path) -> None:
    inputs, targets = data()
    with pytest.raises(FedloraError, match="not finite"):
        train(
            Noisy,
            Columns(inputs, targets * torch.inf),
            PLAN,
            seed=3,
            identity="a",
            workdir=tmp_path,
            progress=lambda losses: None,
        )


def test_a_checkpoint_that_the_disk_has_no_room_for_is_one_line_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Trainer, file: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/elsewhere")

    monkeypatch.setattr(Trainer, "save_checkpoint", refuse)
    with pytest.raises(FedloraError, match=rf"'{tmp_path}/{CHECKPOINT}': the disk is full"):
        fit(tmp_path)
