"""A SuperLink and its SuperNodes as processes of this machine, on the loopback alone."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from fedlora.errors import FedloraError
from fedlora.runtime.processes import flower_environment, free_ports, start, stop
from fedlora.runtime.relay import relays

NAME = "loopback"
"""The connection's name in FLWR_HOME/config.toml."""

COUNTERS = "sockets.int64"
"""The file of bytes on the wire, for a `Meter` to read."""

_PATIENCE = 60.0


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
        stack.callback(stop, running)
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


def _start(command: list[str], home: Path, log: Path) -> subprocess.Popen[bytes]:
    """One of Flower's processes, with a home of its own."""
    home.mkdir(parents=True)
    return start(command, flower_environment(home), log)


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.1)
    raise FedloraError(f"the SuperLink did not start; its log says why: {log}")
