"""The folder that the pipeline's steps share."""

from dataclasses import dataclass
from pathlib import Path

from fedlora import atomic, run_folder
from fedlora import config as configuration
from fedlora.bank import Bank
from fedlora.config import RunConfig
from fedlora.errors import FedloraError

CONFIG = "config.yaml"


@dataclass(frozen=True)
class Workshop:
    """config.yaml, bank/, start/, generator/ and checkpoints/, in one folder.

    The first of the configuration's seeds is the one that is used.
    """

    folder: Path
    config: RunConfig

    @classmethod
    def begin(cls, config: RunConfig, folder: Path) -> "Workshop":
        """A new one, or the one that was begun with the same configuration.

        Raises:
            FedloraError: the folder holds another configuration, or cannot be written.
        """
        text = configuration.dump(config)
        file = folder / CONFIG
        if not file.exists():
            atomic.write_text(file, text)
        elif file.read_text(encoding="utf-8") != text:
            raise FedloraError(
                f"{file}: another configuration than the one given; name another folder, or give"
                f" {file} itself to go on with it"
            )
        return cls(folder, config)

    @classmethod
    def open(cls, folder: Path) -> "Workshop":
        """One that was begun earlier.

        Raises:
            FedloraError: the folder is none.
        """
        if not is_workshop(folder):
            raise FedloraError(
                f"{folder}: not a folder of the pipeline; begin one with fedlora adapters train"
                " or fedlora bank import --config"
            )
        return cls(folder, configuration.load(folder / CONFIG))

    @property
    def seed(self) -> int:
        """Every random choice follows from it."""
        return self.config.seeds[0]

    def bank(self) -> Bank:
        """Its bank.

        Raises:
            FedloraError: it has none yet, or a damaged one.
        """
        return Bank.open(self.folder / "bank")

    @property
    def generator_folder(self) -> Path:
        """Where its generator is, or goes."""
        return self.folder / "generator"


def is_workshop(folder: Path) -> bool:
    """Whether a folder is the pipeline's; a run's has a folder for each seed instead."""
    return (folder / CONFIG).is_file() and not any(folder.glob("seed-*"))


def folder_of_seed(place: Path, config: RunConfig, seed: int | None) -> Path:
    """The folder with bank/ and generator/: a run's for one of its seeds, the pipeline's own.

    seed: the first of the configuration's when None.

    Raises:
        FedloraError: the run has no such seed, or has not begun it.
    """
    if is_workshop(place):
        return place
    chosen = config.seeds[0] if seed is None else seed
    folder = run_folder.seed_folder(place, chosen)
    if chosen not in config.seeds or not folder.is_dir():
        known = ", ".join(map(str, config.seeds))
        raise FedloraError(f"{place}: no seed {chosen}; it has {known}")
    return folder
