"""A SuperLink and its SuperNodes as processes of this machine, on the loopback alone."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from fedlora.errors import FedloraError
from fedlora.runtime import environment
from fedlora.runtime.relay import relays

NAME = "loopback"
"""The connection's name in FLWR_HOME/config.toml."""

COUNTERS = "sockets.int64"
"""The file of bytes on the wire, for a `Meter` to read."""

_PATIENCE = 60.0
_GRACE = 10.0


@contextmanager
def loopback(nodes: int, home: Path, logs: Path) -> Iterator[dict[str, str]]:
    """Start everything, yield the environment in which `flwr ... loopback` reaches it, stop it.

    Insecure, and therefore bound to 127.0.0.1. SuperNode i carries the clients with index
    mod `nodes` == i; what it sends and receives is counted in home/COUNTERS.

    Args:
        nodes: SuperNodes to start.
        home: an empty folder for Flower's own files and the counters.
        logs: a folder for superlink.log and supernode-I.log.

    Raises:
        FedloraError: a process ended before it was ready.
    """
    port, *ports = free_ports(1 + nodes)
    server = ["--host", "127.0.0.1", "--port"]
    link = ["flower-superlink", "--insecure", *server, str(port)]
    running: list[subprocess.Popen[bytes]] = []
    with ExitStack() as stack:
        stack.callback(_stop, running)
        running.append(_start(link, home / "superlink", logs / "superlink.log"))
        _wait_for(running[0], port, logs / "superlink.log")
        counted = stack.enter_context(relays(nodes, port, home / COUNTERS))
        for index, (own, relay) in enumerate(zip(ports, counted, strict=True)):
            node = ["flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{relay}"]
            share = f"partition-id={index} num-partitions={nodes}"
            node += [*server, str(own), "--node-config", share]
            name = f"supernode-{index}"
            running.append(_start(node, home / name, logs / f"{name}.log"))
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "{NAME}"\n\n'
            f'[superlink.{NAME}]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
        )
        yield flower_environment(home)


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


def _start(command: list[str], home: Path, log: Path) -> subprocess.Popen[bytes]:
    """A process in a group of its own, with its log in a file."""
    home.mkdir(parents=True)
    with log.open("wb") as file:
        return subprocess.Popen(
            [*bound_to_parent(), *command],
            env=flower_environment(home),
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """End processes and all they started: politely, then not."""
    for process in processes:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0.1))
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """To the whole group, in which more may live than the process that we started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.1)
    raise FedloraError(f"the SuperLink did not start; its log says why: {log}")


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
