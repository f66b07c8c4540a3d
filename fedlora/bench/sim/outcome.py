"""What a group of workloads came to, and where it waits for a bench that was interrupted."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fedlora import atomic
from fedlora.bench.sim.measured import Measured


@dataclass
class Outcome:
    """What was measured.

    seconds: that it took.
    found: workload's name -> side -> what it took.
    failures: why something was not measured, by "workload: side", or "workload" for all of it.
    survived: whether a run that lost a machine ended with the same numbers; None if not tried.
    """

    seconds: float = 0.0
    found: dict[str, dict[str, Measured]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    survived: bool | None = None

    def add(self, other: "Outcome") -> None:
        """Join what another group came to."""
        self.seconds += other.seconds
        self.found |= other.found
        self.failures |= other.failures
        self.survived = self.survived if other.survived is None else other.survived


_FILE = TypeAdapter(Outcome)


class Kept:
    """Outcomes of groups on disk, so that an interrupted bench goes on where it was.

    folder: for one commit; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def get(self, group: str) -> Outcome | None:
        """What a group came to before; None if that is not known."""
        if self.folder is None:
            return None
        try:
            return _FILE.validate_json((self.folder / f"{group}.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def put(self, group: str, outcome: Outcome) -> None:
        """Keep what a group came to."""
        if self.folder is not None:
            text = _FILE.dump_json(outcome).decode()
            atomic.write_text(self.folder / f"{group}.json", text)

    def clear(self) -> None:
        """Let go of everything: the bench is complete."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
