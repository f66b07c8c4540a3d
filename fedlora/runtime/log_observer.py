"""How far a run is, as lines of a log, and the same told from these lines again."""

import logging
import re
import time

from fedlora.server.observer import Observer

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


class Retelling:
    """Tells an observer what the lines of a LogObserver in another process say."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._title, self._done, self._total = "", 0, 0

    def __call__(self, text: str) -> None:
        """One line, without its mark."""
        step = re.fullmatch(r"(.+): (\d+) of (\d+)", text)
        if step is None:
            self._observer.note(text)
            return
        title, done, total = step[1], int(step[2]), int(step[3])
        if (title, total) != (self._title, self._total) or done < self._done:
            self._title, self._done, self._total = title, 0, total
            self._observer.phase(title, total)
        self._observer.advance(done - self._done)
        self._done = done
