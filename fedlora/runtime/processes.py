"""Processes that we start, and that end with us: their start, their end, a free port for each."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fedlora.runtime import environment

_GRACE = 10.0


def flower_environment(home: Path | None) -> dict[str, str]:
    """This process's environment, in which Flower's commands find each other and our modules."""
    own = {} if home is None else {"FLWR_HOME": str(home)}
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, **environment.for_workers(), **own, "PATH": commands}


def bound_to_parent() -> list[str]:
    """A prefix that has Linux kill a command when we are killed without a chance to do so."""
    if sys.platform != "linux":
        return []
    set_death_signal = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9)"
    return [sys.executable, "-c", f"{set_death_signal}; os.execvp(sys.argv[1], sys.argv[1:])"]


def start(command: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A process in a group of its own, whose output is added to a file."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [*bound_to_parent(), *command],
            env=dict(env),
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes and all they started: politely, then not."""
    for process in processes:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0.1))
        _signal(process, signal.SIGKILL)
        process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """To the whole group, in which more may live than the process that we started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
