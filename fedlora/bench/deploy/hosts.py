"""Hosts of their own on one machine: network namespaces, joined by veth pairs and a bridge.

Nothing outside the namespaces is touched; all are removed at the end. Needs root and iproute2.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fedlora.errors import FedloraError

_NET = "10.214.77"


def missing() -> str | None:
    """Why there can be no namespaces here; None where they can be."""
    if os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2 (the command ip)"
    return None


@dataclass(frozen=True)
class Host:
    """A namespace with one address on the common network.

    switch, port: the namespace of the bridge, and the device there that leads here.
    """

    name: str
    namespace: str
    address: str
    switch: str
    port: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """Runs a command on this host."""
        return ("ip", "netns", "exec", self.namespace)

    def cut(self) -> None:
        """Take its link down: nothing comes or goes."""
        _ip("-n", self.namespace, "link", "set", "eth0", "down")

    def mend(self) -> None:
        """Put the link up again."""
        _ip("-n", self.namespace, "link", "set", "eth0", "up")

    def shape(self, *words: str) -> None:
        """Have tc shape what it sends: `netem delay 50ms loss 1% rate 10mbit`, for one.

        Raises:
            FedloraError: the kernel lacks the discipline.
        """
        tc = ["tc", "-n", self.namespace, "qdisc", "replace", "dev", "eth0", "root", *words]
        _run(tc)

    def rewire(self, own: str, far: str) -> None:
        """Join the host to the bridge by two devices of this process's namespace, in place of
        its link so far.

        Raises:
            FedloraError: one of them cannot be moved.
        """
        _ip("-n", self.namespace, "link", "del", "eth0")
        _ip("link", "set", own, "netns", self.namespace, "name", "eth0")
        _ip("link", "set", far, "netns", self.switch, "name", self.port)
        self.plug_in()

    def plug_in(self) -> None:
        """Give the host's device its address, and put both ends of its link up."""
        _ip("-n", self.switch, "link", "set", self.port, "master", "br0", "up")
        _ip("-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _ip("-n", self.namespace, "link", "set", link, "up")


@contextmanager
def hosts(names: Sequence[str]) -> Iterator[list[Host]]:
    """Hosts that reach each other and nothing else.

    Raises:
        FedloraError: they cannot be made; the line says why.
    """
    if reason := missing():
        raise FedloraError(reason)
    tag = f"fl{os.getpid()}"
    switch = f"{tag}-sw"
    made: list[str] = []
    try:
        _ip("netns", "add", switch)
        made.append(switch)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "br0", "up")
        found = []
        for number, name in enumerate(names):
            address = f"{_NET}.{number + 1}"
            host = Host(name, f"{tag}-{number}", address, switch, f"port{number}")
            _ip("netns", "add", host.namespace)
            made.append(host.namespace)
            pair = ("type", "veth", "peer", "name", "eth0", "netns", host.namespace)
            _ip("-n", switch, "link", "add", host.port, *pair)
            host.plug_in()
            found.append(host)
        yield found
    finally:
        for namespace in made:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def _ip(*words: str) -> None:
    _run(["ip", *words])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[:200]
        raise FedloraError(f"{' '.join(command[:4])} ...: {said}")
