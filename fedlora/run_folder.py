"""A run's folder: its configuration, and a folder for each of its seeds."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedlora import atomic
from fedlora import config as configuration
from fedlora.config import RunConfig
from fedlora.errors import FedloraError

CONFIG = "config.yaml"
FAILURE = "failure.txt"


def create(config: RunConfig, root: Path) -> Path:
    """A new run folder, root/NAME_YYYYMMDD_HHMMSS, holding the resolved configuration.

    Raises:
        FedloraError: the folder cannot be written.
    """
    return create_at(config, configuration.stamped(root, config.name))


def create_at(config: RunConfig, folder: Path) -> Path:
    """A new run folder of a given name.

    Where clients live on this machine the run goes on from any folder: its paths are absolute.
    Clients of a deployment have paths of their own.

    Raises:
        FedloraError: it exists already, or cannot be written.
    """
    if (folder / CONFIG).exists():
        raise FedloraError(f"{folder}: holds a run already; go on with --resume or name another")
    if config.runtime.name != "deployment":
        config = configuration.rooted(config)
    atomic.write_text(folder / CONFIG, configuration.dump(config))
    return folder


def resume(folder: Path) -> RunConfig:
    """The configuration of a run that was begun earlier.

    Raises:
        FedloraError: the folder is not a run's, or its configuration is damaged.
    """
    if not (folder / CONFIG).is_file():
        raise FedloraError(f"{folder}: not a run folder (no config.yaml); name one under runs/")
    try:
        return configuration.load(folder / CONFIG)
    except FedloraError as error:
        raise FedloraError(f"{error}; restore the file, or start a new run") from None


@contextmanager
def failure_kept(folder: Path) -> Iterator[None]:
    """Let those who only look at a run's folder know why it failed, until it is gone on with."""
    (folder / FAILURE).unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        with suppress(FedloraError):  # a full disk may be what it failed of
            atomic.write_text(folder / FAILURE, str(error) or type(error).__name__)
        raise


def failure(folder: Path) -> str:
    """Why a run failed; empty while it works, when it ended well, and after it was killed."""
    file = folder / FAILURE
    return file.read_text() if file.is_file() else ""


def seed_folder(folder: Path, seed: int) -> Path:
    """Where one seed of a run keeps its bank, generator, adapters and tables."""
    return folder / f"seed-{seed}"
