"""fedlora's own commands, run as a user runs them: in processes of their own."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora import config as configuration
from fedlora import run_folder
from fedlora.errors import FedloraError
from fedlora.run_folder import seed_folder


@dataclass(frozen=True)
class Run:
    """A `fedlora run` that was started in a folder of its own."""

    folder: Path
    process: subprocess.Popen[bytes]

    def kill_when(self, reached: Callable[[Path], bool]) -> bool:
        """SIGKILL once something is true of the folder; whether the run was still alive then."""
        while self.process.poll() is None and not reached(self.folder):
            time.sleep(0.02)
        self.process.send_signal(signal.SIGKILL)
        return self.process.wait() == -signal.SIGKILL

    def resumed(self) -> "Run":
        """The same run, gone on with."""
        return Run(self.folder, _fedlora("run", "--resume", str(self.folder)))


def start(config: Path, folder: Path, *overrides: str) -> Run:
    """Begin a run in a given folder."""
    run_folder.create_at(configuration.load(config, overrides), folder)
    return Run(folder, _fedlora("run", "--resume", str(folder)))


def finish(run: Run) -> dict[str, Any]:
    """Wait for a run; its results, with the number of answers it took.

    Raises:
        FedloraError: it failed; the message is the run's own.
    """
    _, error = run.process.communicate()
    if run.process.returncode != 0:
        lines = error.decode(errors="replace").strip().splitlines()
        raise FedloraError(f"{run.folder}: the run failed: {lines[-1] if lines else ''}")
    results: dict[str, Any] = json.loads((run.folder / "results.json").read_text())
    return results | {"answers": count_answers(run.folder)}


def count_answers(folder: Path) -> int:
    """Answers in the journals of a run, which may be running."""
    journal = seed_folder(folder, 0) / "checkpoints" / "journal.sqlite"
    if not journal.is_file():
        return 0
    try:
        with sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=5) as database:
            return int(database.execute("select count(*) from answers").fetchone()[0])
    except sqlite3.OperationalError:  # the table is not made yet
        return 0


def make_test() -> float:
    """Seconds that `make test` takes in this checkout, once it is installed.

    Raises:
        FedloraError: a test fails.
    """
    started = time.perf_counter()
    done = subprocess.run(["make", "test"], capture_output=True, check=False)
    if done.returncode != 0:
        raise FedloraError("make test fails; mend it before measuring it")
    return time.perf_counter() - started


def _fedlora(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", "from fedlora.cli import main; main()", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
