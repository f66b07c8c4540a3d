"""The memory of several processes, looked at from the outside while they work."""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

_EVERY = 0.5
"""Seconds between two looks."""


class Watch:
    """The most resident bytes of processes from here to `close`.

    A page that several share counts once where the system tells (Linux), else in each.

    processes: those that are alive; asked before each look.

    Attributes:
        peak: so far.
    """

    def __init__(self, processes: Callable[[], Iterable[psutil.Process]]) -> None:
        self.peak = 0
        self._processes = processes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look once more, and no longer."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        over = False
        while not over:
            over = self._over.wait(_EVERY)
            self.peak = max(self.peak, sum(map(_resident, self._processes())))


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        held = process.memory_full_info()
        return int(getattr(held, "pss", held.rss))
    return 0


def tree(root: psutil.Process) -> list[psutil.Process]:
    """A process and all that it has started; none when it is gone."""
    with suppress(psutil.NoSuchProcess):
        return [root, *root.children(recursive=True)]
    return []
