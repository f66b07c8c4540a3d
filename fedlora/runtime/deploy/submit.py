"""`fedlora deploy submit`: a run on a federation's machines."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from fedlora import atomic, run_folder
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.runtime.deploy.control import write_connection
from fedlora.runtime.deploy.place import CONNECTION, Place
from fedlora.runtime.deploy.server import wait_for_superlink
from fedlora.runtime.processes import flower_environment
from fedlora.runtime.submission import submit as hand_in
from fedlora.runtime.submission import write_app

STANDING = {
    "serverapp": "fedlora.runtime.deploy.standing:app",
    "clientapp": "fedlora.runtime.clientapp:app",
}

_PATIENCE = 20.0
_LOST = ("No heartbeat received", "SuperLink is unavailable")
"""What Flower says of a ServerApp, or a SuperLink, that is not there any more."""


def settings_for(place: Place) -> list[str]:
    """What a configuration needs besides, to run on the machines of a server's place."""
    return [
        "runtime.name=deployment",
        f"runtime.address={CONNECTION}",
        f"runtime.nodes={place.facts.shares}",
    ]


def connect(place: Place, say: Callable[[str], None]) -> None:
    """Have Flower's commands in this process reach the place's SuperLink.

    say: is told when that takes a while.

    Raises:
        FedloraError: it does not run.
    """
    os.environ["FLWR_HOME"] = str(write_connection(place))
    wait_for_superlink(place, say)


@contextmanager
def going_on(command: str) -> Iterator[None]:
    """Say of a run whose ServerApp or SuperLink was lost how to go on with it."""
    try:
        yield
    except FedloraError as error:
        if not any(words in str(error) for words in _LOST):
            raise
        raise FedloraError(
            "the run's ServerApp or its SuperLink was killed, or did not answer for a minute; go on"
            f" with: {command}"
        ) from error


def serve(place: Place, folder: Path, seconds: float, say: Callable[[str], None]) -> None:
    """Serve newcomers from a finished run until interrupted, or for so many seconds.

    Raises:
        FedloraError: the run has learned no generator, or the SuperLink ended.
    """
    config = run_folder.resume(folder)
    if not (run_folder.seed_folder(folder, config.seeds[0]) / "generator").is_dir():
        raise FedloraError(f"{folder}: has learned no generator; finish the run with --resume")
    with TemporaryDirectory(prefix="fedlora-") as temporary:
        app = Path(temporary) / "app"
        run_config = {"folder": str(folder.absolute()), "seconds": str(seconds)}
        write_app(app, run_config, STANDING)
        log = place.state / "standing.log"
        hand_in(app, CONNECTION, flower_environment(None), log, say)


def runs(place: Place) -> Path:
    """Where the place's runs are."""
    return place.folder / "runs"


def latest(place: Place) -> Path | None:
    """The run that was worked on last; None before the first."""
    found = [f for f in runs(place).glob("*") if (f / "config.yaml").is_file()]
    return max(found, key=_touched, default=None)


def _touched(run: Path) -> float:
    """When a run was begun, or its journal written, whichever came last."""
    files = [run / "config.yaml", *run.glob("seed-*/checkpoints/journal.sqlite*")]
    times = []
    for file in files:
        with suppress(FileNotFoundError):  # a run at work comes and goes with its files
            times.append(file.stat().st_mtime)
    return max(times, default=0.0)


def resumed(folder: Path) -> RunConfig:
    """The configuration of a run to go on with, once whoever worked on it before has ended.

    A ServerApp notices within a second or two that its SuperLink was killed.

    Raises:
        FedloraError: it is no deployment's run, or somebody still works on it.
    """
    config = run_folder.resume(folder)
    if config.runtime.name != "deployment":
        raise FedloraError(f"{folder}: ran on {config.runtime.name}; use fedlora run --resume")
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with atomic.alone(folder):
                return config
        except FedloraError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)
