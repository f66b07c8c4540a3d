"""What can go wrong in a federation, done to a rehearsal on purpose."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedlora.bench.deploy.machines import eventually
from fedlora.bench.deploy.rehearsal import Rehearsal
from fedlora.errors import FedloraError

Strike = Callable[[Rehearsal], None]

PARTITION = 30.0
"""Seconds that a client is cut off."""
_NOTICE = 150.0
"""Seconds for whoever waits to notice that the other side is gone, before a user stops it."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    strike: does it, and whatever a user would do afterwards; the run goes on when it returns.
    needs_hosts: whether it needs links of its own to cut.
    """

    name: str
    strike: Strike
    needs_hosts: bool = False


def _kill(machine: str, words: str) -> Strike:
    """A process that its command starts again."""
    return lambda federation: federation.running[machine].kill_part(words)


def _client_loses_power(federation: Rehearsal) -> None:
    federation.running["client-1"].kill()
    federation.join(1)


def _server_app(federation: Rehearsal) -> None:
    federation.running["server"].kill_part("flwr-serverapp")
    _resume(federation)


def _superlink(federation: Rehearsal) -> None:
    federation.running["server"].kill_part("flower-superlink")
    _resume(federation)


def _server_loses_power(federation: Rehearsal) -> None:
    federation.running["submit"].kill()
    federation.running["server"].kill()
    federation.serve()
    federation.resume()


def _partition(federation: Rehearsal) -> None:
    federation.hosts[1].cut()
    time.sleep(PARTITION)
    federation.hosts[1].mend()


def fill_disk(federation: Rehearsal) -> None:
    """Take what is left of the disk that the runs are on, see the run end, free it, go on.

    Raises:
        FedloraError: the run did not end, or not with one line that says why.
    """
    ballast = federation.server_place.folder / "runs" / "ballast"
    _fill(ballast)
    submitted = federation.running["submit"]
    eventually(lambda: submitted.process.poll() is not None, 600.0)
    ballast.unlink()
    told = " ".join(submitted.said().split())
    if submitted.process.poll() != 2 or not ("disk" in told or "No space" in told):
        raise FedloraError(f"the full disk was not named: {told[-300:]}")
    federation.resume()


def _resume(federation: Rehearsal) -> None:
    """As a user does whose run has ended, or does not move."""
    submitted = federation.running["submit"]
    eventually(lambda: submitted.process.poll() is not None, _NOTICE)
    submitted.stop()
    federation.resume()


def _fill(ballast: Path) -> None:
    chunk = os.urandom(1 << 16)
    with ballast.open("wb", buffering=0) as file:
        for size in (len(chunk), 4096, 512, 1):
            try:
                while True:
                    file.write(chunk[:size])
            except OSError:
                continue


FAULTS = (
    Fault("worker killed", _kill("client-0", "deploy.worker")),
    Fault("host killed", _kill("client-0", "deploy.host")),
    Fault("SuperNode killed", _kill("client-0", "flower-supernode")),
    Fault("client's machine lost power", _client_loses_power),
    Fault("client cut off for 30 s", _partition, needs_hosts=True),
    Fault("ServerApp killed", _server_app),
    Fault("SuperLink killed", _superlink),
    Fault("server's machine lost power", _server_loses_power),
)
