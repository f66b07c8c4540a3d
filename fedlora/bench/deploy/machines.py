"""The machines of a federation as processes of this one: started, killed in parts or whole."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from fedlora.errors import FedloraError
from fedlora.runtime.processes import bound_to_parent, flower_environment

FEDLORA = [sys.executable, "-c", "from fedlora.cli import main; main()"]

_GRACE = 40.0


class Machine:
    """One `fedlora` command, or another, and all that it starts.

    log: the file with what it says.
    prefix: a command to run it by, such as `ip netns exec NAME`.
    """

    def __init__(
        self,
        log: Path,
        words: Sequence[object],
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = FEDLORA,
    ) -> None:
        self.log = log
        own = {"NO_COLOR": "1", "COLUMNS": "500", **(env or {})}
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [*bound_to_parent(), *prefix, *command, *map(str, words)],
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=flower_environment(log.parent / "flower") | own,
                start_new_session=True,
            )

    def said(self) -> str:
        """All that it has said so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, seconds: float = 300.0) -> None:
        """Return once it has said something.

        Raises:
            FedloraError: it ended, or did not say it in time.
        """
        eventually(lambda: text in self.said() or self.process.poll() is not None, seconds)
        if text not in self.said():
            raise FedloraError(f"never said '{text}': {' '.join(self.said().split())[-400:]}")

    def part(self, words: str) -> psutil.Process | None:
        """The process of this machine whose command line has these words in it."""
        for process in family(self.process.pid):
            with suppress(psutil.Error):
                if words in " ".join(process.cmdline()):
                    return process
        return None

    def kill_part(self, words: str) -> None:
        """SIGKILL the process whose command line has these words in it.

        Raises:
            FedloraError: there is none.
        """
        if not eventually(lambda: self.part(words) is not None, _GRACE):
            raise FedloraError(f"no process '{words}' to kill")
        process = self.part(words)
        if process is not None:
            process.kill()

    def kill(self) -> None:
        """End everything at once and without a word, as when a machine loses power."""
        for process in family(self.process.pid)[::-1]:
            with suppress(psutil.Error):
                process.kill()
        self.process.wait(_GRACE)

    def stop(self) -> None:
        """As Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_GRACE)
                return
            self.kill()


Start = Callable[..., Machine]
"""(name, *words, prefix=, env=) -> a machine that runs `fedlora` with these words."""


@contextmanager
def machines(logs: Path) -> Iterator[Start]:
    """A way to start machines, all of which are stopped at the end."""
    started: list[Machine] = []

    def start(
        name: str,
        *words: object,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> Machine:
        started.append(Machine(logs / f"{name}.out", words, prefix, env))
        return started[-1]

    try:
        yield start
    finally:
        for machine in started[::-1]:
            machine.stop()


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it; nothing once it is gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is true, for so long at most; whether it is."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds
