"""Runs that are disturbed on purpose, beside one that is not."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora.bench.deploy.faults import FAULTS, Fault, fill_disk
from fedlora.bench.deploy.hosts import Host, hosts, missing
from fedlora.bench.deploy.rehearsal import rehearsal
from fedlora.errors import FedloraError
from fedlora.server.observer import Observer

_DISK = "48m"
DISK = Fault("full disk", fill_disk)


@dataclass(frozen=True)
class Struck:
    """A run that was struck again and again.

    survived: of each fault by name and point, whether the run went on after it.
    """

    results: dict[str, Any]
    survived: dict[str, bool]
    lost: int


def disturb(
    folder: Path,
    config: Path,
    faults: Sequence[Fault],
    joined: Sequence[Host],
    observer: Observer,
    every: int = 3,
) -> Struck:
    """Live a run in which a fault strikes after every so many further answers.

    Args:
        folder: a new one.
        config: of the run.
        faults: in their order.
        joined: hosts with links of their own; empty for the loopback.
        observer: moves on by one a fault.
        every: answers between two faults; no divisor of a round's, so that they strike within it.

    Raises:
        FedloraError: the run did not end well after the last of them.
    """
    survived: dict[str, bool] = {}
    with rehearsal(folder, 2, joined) as federation, ExitStack() as stack:
        if DISK in faults:
            stack.enter_context(_small_disk(federation.server_place.folder / "runs"))
        federation.serve()
        for number in (0, 1):
            federation.join(number)
        federation.submit(config)
        for fault in faults:
            federation.wait_for_answers(federation.answers() + every)
            before = federation.answers()
            name = f"{fault.name}, after {before} answers"
            fault.strike(federation)
            observer.advance()
            try:
                federation.wait_for_answers(before + 1)
                survived[name] = True
            except FedloraError as error:
                observer.note(f"{name}: {error}")
                survived[name] = False
                federation.running["submit"].stop()
                federation.resume()
        results = federation.results()
    return Struck(results, survived, len(results["lost"]))


def possible(joined: Sequence[Host]) -> list[Fault]:
    """The faults that this machine can suffer."""
    found = [fault for fault in FAULTS if joined or not fault.needs_hosts]
    return [*found, *([DISK] if missing() is None else [])]


@contextmanager
def links(names: Sequence[str], observer: Observer) -> Iterator[Sequence[Host]]:
    """Hosts of their own where that is possible, else none: the loopback."""
    with ExitStack() as stack:
        reason, joined = missing(), list[Host]()
        if reason is None:
            joined = stack.enter_context(hosts(names))
        else:
            observer.note(f"on the loopback alone: {reason}")
        yield joined


@contextmanager
def _small_disk(runs: Path) -> Iterator[None]:
    """Have a federation's runs on a disk of their own, small enough to fill; as root."""
    runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=700", "fedlora", str(runs)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        # Lazily: whoever still has a file open there is stopped just after.
        subprocess.run(["umount", "-l", str(runs)], check=False, capture_output=True)
