"""What the processes of a machine have to say to whoever sits in front of it."""

from pathlib import Path

from fedlora.runtime.log_observer import MARK


class Tail:
    """The marked lines that were added to a log since it was last looked at."""

    def __init__(self, log: Path, mark: str = MARK) -> None:
        self._log, self._mark = log, mark
        self._at = log.stat().st_size if log.exists() else 0

    def lines(self) -> list[str]:
        """New lines, without what stands before the mark; of an emptied log, from its start."""
        if not self._log.exists():
            return []
        if self._log.stat().st_size < self._at:
            self._at = 0
        with self._log.open("rb") as file:
            file.seek(self._at)
            whole, _, _ = file.read().rpartition(b"\n")
        self._at += len(whole) + 1 if whole else 0
        told = whole.decode(errors="replace").splitlines()
        return [line.partition(self._mark)[2] for line in told if self._mark in line]
