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

from fedlora.bench.resident import Watch, tree
from fedlora.errors import FedloraError

PATIENCE = 1200.0
"""Seconds after which a side that says nothing is ended."""


class Cost(NamedTuple):
    """Of one round, or of a start: wall seconds and processor seconds of the tree."""

    seconds: float
    cpu: float


class SideProcess:
    """A process that says where it is and does a round for each "go"."""

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
        self._watch = Watch(self._tree)

    @property
    def peak(self) -> int:
        """The most resident bytes that the tree had."""
        return self._watch.peak

    def reach(self, word: str) -> Cost:
        """Wait until it says so; what it has cost since its start.

        Raises:
            FedloraError: it ended first; the message is its own last line.
        """
        assert self._process.stdout is not None
        patience = threading.Timer(PATIENCE, self._kill)
        patience.start()
        try:
            for line in self._process.stdout:
                if line.strip() == f"@{word}":
                    return Cost(time.perf_counter() - self._began, self._cpu())
        finally:
            patience.cancel()
        self.close()
        lines = self._log.read_text(errors="replace").strip().splitlines()
        raise FedloraError(f"the side ended before it said '{word}': {lines[-1] if lines else ''}")

    def round(self) -> Cost:
        """One round."""
        assert self._process.stdin is not None
        before, began = self._cpu(), time.perf_counter()
        with suppress(OSError):  # of one that has ended, which is found out next
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
        self._watch.close()
        self._kill()
        self._process.wait()

    def _kill(self) -> None:
        for process in list(self._seen.values()):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)

    def _tree(self) -> list[psutil.Process]:
        found = tree(self._root)
        self._seen.update({process.pid: process for process in found})
        return found

    def _cpu(self) -> float:
        """Of the living processes and of those that they have waited for."""
        total = 0.0
        for process in self._tree():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total
