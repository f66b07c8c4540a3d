"""The harness: a killed fit goes on where it was, and ends where it would have ended."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from fedlora.errors import FedloraError
from fedlora.generators.learner import Columns, Learner, Plan
from fedlora.generators.training import CHECKPOINT, LOGS, train

PLAN = Plan(epochs=30, batch_size=16, learning_rate=1e-2, save_every=5)
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


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 6, generator=generator)
    return inputs, inputs[:, :3] ** 2


def fit(workdir: Path, identity: str = "same", plan: Plan = PLAN, stop: int = 0) -> Tensor:
    """The trained weights as one vector; killed without mercy after epoch `stop`, if given."""

    def progress(losses: Mapping[str, float]) -> None:
        if losses["epoch"] == stop:
            os.kill(os.getpid(), signal.SIGKILL)

    learner = train(
        Noisy, Columns(*data()), plan, seed=3, identity=identity, workdir=workdir, progress=progress
    )
    return torch.cat([p.detach().flatten() for p in learner.parameters()])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    return fit(tmp_path_factory.mktemp("whole"))


def test_a_killed_fit_resumes_to_the_same_weights(uninterrupted: Tensor, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.generators.test_training import fit;"
        f"fit(Path(sys.argv[1]), stop={KILLED_AT})"
    )
    child = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=120)
    assert child.returncode == -signal.SIGKILL
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert saved["epoch"] == 14

    assert torch.equal(fit(tmp_path), uninterrupted)


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
    with pytest.raises(FedloraError, match=r"last\.ckpt: damaged.*delete it") as caught:
        fit(tmp_path)
    assert "\n" not in str(caught.value)


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
