from pathlib import Path

import pytest

from fedlora import config as configuration
from fedlora import run_folder
from fedlora.runtime import run as running
from tests.docs.examples import ROOT

TINY = [
    "tasks.bank=4", "tasks.held_out=2", "tasks.splits.train=32", "tasks.splits.validation=8",
    "tasks.splits.test=16", "warm_start.rounds=1", "finetune.epochs=1", "generator.name=ridge",
]  # fmt: skip


class Quiet:
    """An observer that looks away."""

    def phase(self, title: str, total: int) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def note(self, text: str) -> None: ...


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Path:
    """A folder like the checkout after a small quickstart: configs/, results/ and runs/."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("configs", "results"):
        (folder / name).symlink_to(ROOT / name)
    settings = configuration.load(ROOT / "configs" / "quickstart.yaml", TINY)
    running.run(settings, run_folder.create(settings, folder / "runs"), Quiet())
    return folder
