"""The folder of one seed of a run, as commands name it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.errors import FedloraError
from fedlora.evaluation.results import seed_folder

if TYPE_CHECKING:
    from fedlora.server.bank import Bank

RunDir = Annotated[Path, typer.Argument(help="A run folder, such as runs/quickstart_...")]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="Which of the run's seeds; the first when absent.")
]


def open_bank(run: Path, seed: int | None) -> "Bank":
    """The bank of one seed of a run."""
    from fedlora.runtime.run import resume
    from fedlora.server.bank import Bank

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
