"""How far a run is, as lines of a log that nobody sits in front of."""

import logging
import time

MARK = "fedlora: "
"""Starts every line, to be found among Flower's own."""

_EVERY = 10.0
"""Seconds between two lines about one phase."""


class LogObserver:
    """An Observer that writes to Flower's log, which `flwr run --stream` shows."""

    def __init__(self) -> None:
        self._log = logging.getLogger("flwr")
        self._title, self._done, self._total = "", 0, 0
        self._told = 0.0

    def phase(self, title: str, total: int) -> None:
        """A phase of `total` steps begins."""
        self._title, self._done, self._total = title, 0, total
        self._tell()

    def advance(self, steps: int = 1) -> None:
        """Steps of the phase are done."""
        self._done += steps
        if self._done == self._total or time.monotonic() - self._told > _EVERY:
            self._tell()

    def note(self, text: str) -> None:
        """A line as it is."""
        self._log.info("%s%s", MARK, text)

    def _tell(self) -> None:
        self._told = time.monotonic()
        self.note(f"{self._title}: {self._done} of {self._total}")
