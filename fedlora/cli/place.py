"""What commands work in: a run's folder, one of the pipeline's, or a bank alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fedlora import atomic, run_folder
from fedlora.config import RunConfig
from fedlora.config import load as load_config
from fedlora.errors import FedloraError

if TYPE_CHECKING:
    from fedlora.bank import Bank, StoredRecord


def settings_of(place: Path) -> RunConfig:
    """The configuration in a folder, or in a file of its own.

    Raises:
        FedloraError: there is none.
    """
    return load_config(place) if place.is_file() else run_folder.resume(place)


def open_bank(place: Path, seed: int | None) -> "Bank":
    """The bank of one seed of a run, of a folder of the pipeline, or the one that `place` is."""
    from fedlora.bank import Bank

    if (place / "index.sqlite").is_file():
        return Bank.open(place)
    return Bank.open(folder_of(place, seed) / "bank")


def folder_of(place: Path, seed: int | None) -> Path:
    """The folder with bank/ and generator/: a run's for one of its seeds, the pipeline's own.

    Raises:
        FedloraError: the run has no such seed, or has not begun it.
    """
    from fedlora.pipeline.workshop import folder_of_seed

    return folder_of_seed(place, settings_of(place), seed)


@contextmanager
def settled(place: Path, seed: int | None) -> Iterator[Path]:
    """`folder_of` what nobody else works in while the block runs, and whose bank may grow.

    Raises:
        FedloraError: a run that has not ended, whose numbers would be others once it is resumed,
            or another process is at work there.
    """
    from fedlora.pipeline.workshop import is_workshop

    folder = folder_of(place, seed)
    with atomic.alone(place):
        if not is_workshop(place) and not (folder / "facts.json").is_file():
            raise FedloraError(
                f"{folder}: not finished, and its bank is not to change; end it first with"
                f" fedlora run --resume {place}"
            )
        yield folder


def find_record(bank: "Bank", digest: str) -> "StoredRecord":
    """The first record whose adapter's digest begins with `digest`.

    Raises:
        FedloraError: there is none.
    """
    for record in bank.records():
        if digest and record.digest.startswith(digest):
            return record
    raise FedloraError(f"no adapter '{digest}' in the bank; see fedlora bank list")
