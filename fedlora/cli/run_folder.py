"""The folder of one seed of a run, as commands name it."""

from pathlib import Path
from typing import TYPE_CHECKING

from fedlora.errors import FedloraError
from fedlora.evaluation.results import seed_folder

if TYPE_CHECKING:
    from fedlora.bank import Bank, StoredRecord


def open_bank(run: Path, seed: int | None) -> "Bank":
    """The bank of one seed of a run."""
    from fedlora.bank import Bank
    from fedlora.runtime.run import resume

    return Bank.open(folder_of(run, seed, resume(run).seeds) / "bank")


def folder_of(run: Path, seed: int | None, seeds: tuple[int, ...]) -> Path:
    """The seed's folder.

    Raises:
        FedloraError: the run has no such seed, or has not begun it.
    """
    chosen = seeds[0] if seed is None else seed
    folder = seed_folder(run, chosen)
    if chosen not in seeds or not folder.is_dir():
        raise FedloraError(f"{run}: no seed {chosen}; it has {', '.join(map(str, seeds))}")
    return folder


def find_record(bank: "Bank", digest: str) -> "StoredRecord":
    """The first record whose adapter's digest begins with `digest`.

    Raises:
        FedloraError: there is none.
    """
    for record in bank.records():
        if digest and record.digest.startswith(digest):
            return record
    raise FedloraError(f"no adapter '{digest}' in the bank; see fedlora bank list")
