"""`fedlora deploy client`: a SuperNode, the process that answers for it, and a warm worker."""

import math
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlora import atomic
from fedlora.errors import FedloraError
from fedlora.runtime.answering import OUTBOX
from fedlora.runtime.deploy import certificates, private
from fedlora.runtime.deploy.handover import FOLDER
from fedlora.runtime.deploy.own import Own
from fedlora.runtime.deploy.place import FILE, Place, is_loopback
from fedlora.runtime.deploy.tail import Tail
from fedlora.runtime.deploy.verdicts import verdict
from fedlora.runtime.deploy.watch import Say, Service, watch
from fedlora.runtime.deploy.wish import Wish
from fedlora.runtime.processes import flower_environment, free_ports, start

_MET = "SuperNode ID: "
"""What Flower writes when the server has let a SuperNode in."""
_SOON = 20.0
"""Seconds after which a client that waits says so."""


@dataclass(frozen=True)
class Party:
    """What a client's machine takes part with.

    own: its data and base model.
    warm: keep a worker; without one every message loads torch and the model again.
    wish: what a newcomer came for; None on a client with a share.
    """

    own: Own
    warm: bool = True
    wish: Wish | None = None


def run_client(place: Place, party: Party, say: Say, done: Callable[[], bool]) -> None:
    """Take part until `done`; whatever ends meanwhile is started again.

    Args:
        place: a client's.
        party: what it brings.
        say: is told what ended, and why.
        done: asked several times a second.

    Raises:
        FedloraError: the server refuses this client for good, its key is damaged or can be read by
            others, or another process works in its folder.
    """
    if place.facts.secure:
        private.check(place.key)
        certificates.read_node_key(place.key)
        certificates.read_certificate(place.ca)
    elif not is_loopback(place.facts.hosts[0]):
        raise FedloraError(
            f"{place.folder / FILE}: without TLS it connects to this machine's loopback alone"
        )
    private.folder(place.state)
    # Short, for a Unix socket's path; gone with this process.
    with atomic.alone(place.state), tempfile.TemporaryDirectory(prefix="fedlora-") as short:
        folder = Path(short)
        private.write(folder / "superexec.secret", secrets.token_bytes(32))
        env = {
            **flower_environment(place.state / "flower"),
            **party.own.variable(),
            **(party.wish.variable() if party.wish else {}),
            OUTBOX: str(place.state / "outbox.sqlite"),
            FOLDER: str(folder),
        }
        (port,) = free_ports(1)
        host = _module("host", f"127.0.0.1:{port}", str(folder / "superexec.secret"))
        services = [
            _service(place, "SuperNode", _supernode(place, port, folder), env),
            _service(place, "host", host, env),
        ]
        # A SuperNode waits for ever for the rest of an answer that its host had begun to hand over.
        services[1].takes_along = services[0]
        if party.warm:
            services.append(_service(place, "worker", _module("worker", str(folder)), env))
        told, met = Tail(place.state / "host.log"), Tail(place.state / "supernode.log", _MET)
        soon = time.monotonic() + _SOON

        def until() -> bool:
            nonlocal soon
            for line in told.lines():
                say(line)
            if met.lines():
                say("connected")
                soon = math.inf
            elif time.monotonic() > soon:
                say(f"{place.address} has not let this client in yet; it goes on trying")
                soon = math.inf
            return done()

        say(f"connecting to {place.address}")
        watch(services, until, say)


def _service(place: Place, name: str, command: Sequence[str], env: dict[str, str]) -> Service:
    log, began = place.state / f"{name.lower()}.log", 0

    def begin() -> subprocess.Popen[bytes]:
        nonlocal began
        began = log.stat().st_size if log.exists() else 0
        return start(command, env, log)

    return Service(name, begin, lambda: verdict(name, log, began))


def _module(name: str, *words: str) -> list[str]:
    return [sys.executable, "-m", f"fedlora.runtime.deploy.{name}", *words]


def _supernode(place: Place, port: int, folder: Path) -> list[str]:
    facts = place.facts
    share = f"partition-id={facts.share} num-partitions={facts.shares}"
    trust = ["--root-certificates", str(place.ca), "--auth-supernode-private-key", str(place.key)]
    return [
        "flower-supernode",
        *(trust if facts.secure else ["--insecure"]),
        *("--superlink", place.address, "--host", "127.0.0.1", "--port", str(port)),
        *("--isolation", "process", "--superexec-auth-secret-file"),
        str(folder / "superexec.secret"),
        *(() if facts.share is None else ("--node-config", share)),
    ]
