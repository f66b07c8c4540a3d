"""A side's process from the outside: clocks, processor time and memory of its whole tree."""

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from fedlora.errors import FedloraError

_EVERY = 0.5
"""Seconds between two looks at the memory."""


class Cost(NamedTuple):
    """Of one round, or of a start: wall seconds and processor seconds of the tree."""

    seconds: float
    cpu: float


class SideProcess:
    """A process that says where it is and does a round for each "go".

    Attributes:
        peak: the most resident bytes that the tree had; a page that several share counts once where
            the system tells (Linux), else in each.
    """

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self._log = log
        self._began = time.perf_counter()
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
                start_new_session=True,
            )
        self._root = psutil.Process(self._process.pid)
        self._seen: dict[int, psutil.Process] = {}
        self.peak = 0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def reach(self, word: str) -> Cost:
        """Wait until it says so; what it has cost since its start.

        Raises:
            FedloraError: it ended first; the message is its own last line.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == f"@{word}":
                return Cost(time.perf_counter() - self._began, self._cpu())
        self.close()
        lines = self._log.read_text(errors="replace").strip().splitlines()
        raise FedloraError(f"the side ended before it said '{word}': {lines[-1] if lines else ''}")

    def round(self) -> Cost:
        """One round."""
        assert self._process.stdin is not None
        before, began = self._cpu(), time.perf_counter()
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self.reach("done")
        seconds = time.perf_counter() - began
        return Cost(seconds, self._cpu() - before)

    def close(self) -> None:
        """Let it end by itself, then see that nothing of it is left."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=60)
        self._over.set()
        self._watch.join()
        for process in self._seen.values():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _tree(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            tree = [self._root, *self._root.children(recursive=True)]
            self._seen.update({process.pid: process for process in tree})
            return tree
        return []

    def _cpu(self) -> float:
        """Of the living processes and of those that they have waited for."""
        total = 0.0
        for process in self._tree():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def _look(self) -> None:
        while not self._over.wait(_EVERY):
            total = 0
            for process in self._tree():
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    held = process.memory_full_info()
                    total += getattr(held, "pss", held.rss)
            self.peak = max(self.peak, total)
