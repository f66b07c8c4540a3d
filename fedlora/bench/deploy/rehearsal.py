"""A federation rehearsed on this machine: TLS, keys and every process of the real one."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlora.bench.commands import count_answers
from fedlora.bench.deploy.hosts import Host
from fedlora.bench.deploy.machines import Machine, Start, eventually, machines
from fedlora.errors import FedloraError
from fedlora.runtime.deploy.initialise import initialise, invite
from fedlora.runtime.deploy.place import Place
from fedlora.runtime.processes import free_ports

_PATIENCE = 900.0


@dataclass
class Rehearsal:
    """A server and its clients; each is started, killed and started again by name.

    hosts: where the server and the clients run, in this order; empty for this machine's loopback.
    """

    folder: Path
    server_place: Place
    client_places: list[Place]
    hosts: Sequence[Host]
    start: Start
    stack: ExitStack
    running: dict[str, Machine] = field(default_factory=dict)
    starts: int = 0

    def serve(self) -> Machine:
        """Start the server; it is ready when this returns."""
        bind = "0.0.0.0" if self.hosts else "127.0.0.1"
        words = ("deploy", "server", self.server_place.folder, "--bind", bind)
        machine = self._start("server", 0, *words)
        machine.wait_for("serving ")
        return machine

    def join(self, number: int, *options: object) -> Machine:
        """Start one client's machine."""
        words = ("deploy", "client", self.client_places[number].folder, *options)
        return self._start(f"client-{number}", 1 + number, *words)

    def stock(self, number: int) -> Machine:
        """Start one client of an insecure federation as Flower alone would: no host, no worker."""
        place = self.client_places[number]
        (port,) = free_ports(1)
        share = f"partition-id={place.facts.share} num-partitions={place.facts.shares}"
        words = ("--superlink", place.address, "--port", str(port), "--node-config", share)
        command = ["flower-supernode", "--insecure", *words]
        machine = Machine(self.folder / f"stock-{number}.out", (), command=command)
        self.stack.callback(machine.stop)
        return machine

    def submit(self, config: Path) -> Machine:
        """Begin a run."""
        return self._start(
            "submit", 0, "deploy", "submit", config, "--at", self.server_place.folder
        )

    def resume(self) -> Machine:
        """Go on with the newest run."""
        at = ("--at", self.server_place.folder)
        return self._start("submit", 0, "deploy", "submit", *at, "--resume", self.run)

    def invite(self, name: str) -> Place:
        """A newcomer's place."""
        return invite(self.folder / "fed", name)

    def stand(self) -> Machine:
        """Serve newcomers from the newest run; it is ready when this returns."""
        at = ("--at", self.server_place.folder)
        machine = self._start("standing", 0, "deploy", "serve", self.run, *at)
        machine.wait_for("serving newcomers from")
        return machine

    def adopt(self, place: Place, data: Path, out: Path) -> tuple[float, str]:
        """Have a newcomer served; seconds until its adapter was there, and what it said.

        Raises:
            FedloraError: it was not served.
        """
        words = ("deploy", "adopt", place.folder, "--data", data, "--out", out, "--json")
        machine = self._start("newcomer", -1, *words)
        eventually(lambda: machine.process.poll() is not None, _PATIENCE)
        if machine.process.poll() != 0:
            said = " ".join(machine.said().split())[-400:]
            raise FedloraError(f"the newcomer was not served: {said}")
        told = machine.said()
        return float(json.loads(told[told.rindex("[\n") :])[0]["seconds"]), told

    @property
    def run(self) -> Path:
        """The newest run's folder.

        Raises:
            FedloraError: no run was begun yet.
        """
        found = sorted((self.server_place.folder / "runs").glob("*/config.yaml"))
        if not found:
            raise FedloraError(f"{self.server_place.folder}: no run was begun")
        return found[-1].parent

    def answers(self) -> int:
        """Answers that the newest run's journal holds."""
        try:
            return count_answers(self.run)
        except FedloraError:
            return 0

    def wait_for_answers(self, count: int, seconds: float = 600.0) -> None:
        """Return once the journal holds so many answers, or nobody waits for more.

        Raises:
            FedloraError: it did not come to that.
        """
        submitted = self.running["submit"].process
        eventually(lambda: self.answers() >= count or submitted.poll() is not None, seconds)
        if self.answers() < count:
            said = " ".join(self.running["submit"].said().split())[-400:]
            raise FedloraError(f"{self.answers()} answers, not {count}: {said}")

    def results(self, seconds: float = 900.0) -> dict[str, Any]:
        """Wait for the run; what it came to.

        Raises:
            FedloraError: it failed, or took too long.
        """
        submitted = self.running["submit"]
        eventually(lambda: submitted.process.poll() is not None, seconds)
        if submitted.process.poll() != 0:
            said = " ".join(submitted.said().split())[-400:]
            raise FedloraError(f"the run ended with {submitted.process.poll()}: {said}")
        results: dict[str, Any] = json.loads((self.run / "results.json").read_text())
        return results

    def logs(self) -> str:
        """All that any process has written, of this machine and of Flower."""
        files = [*self.folder.glob("*.out"), *self.folder.rglob("*.log")]
        return "".join(file.read_text(errors="replace") for file in files)

    def _start(self, name: str, host: int, *words: object) -> Machine:
        self.starts += 1
        prefix = self.hosts[host].prefix if self.hosts else ()
        machine = self.start(f"{self.starts:02d}-{name}", *words, prefix=prefix)
        self.running[name] = machine
        return machine


@contextmanager
def rehearsal(
    folder: Path, clients: int, hosts: Sequence[Host] = (), secure: bool = True
) -> Iterator[Rehearsal]:
    """A federation in folder/fed, not started yet; what runs at the end is stopped."""
    port, control = free_ports(2)
    names = [hosts[0].address] if hosts else ["127.0.0.1"]
    places = initialise(
        folder / "fed", "rehearsal", names, clients, port, control, secure, model=None
    )
    with machines(folder) as start, ExitStack() as stack:
        yield Rehearsal(folder, places[0], places[1:], hosts, start, stack)
