"""A machine's folder of a federation: what `fedlora deploy init` wrote, and where it stands."""

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from fedlora import atomic
from fedlora.errors import FedloraError
from fedlora.section import Section, parse

FILE = "federation.json"
CONNECTION = "fedlora"
"""The SuperLink's name in Flower's own configuration."""
REVOKED = ".revoked"
"""The ending of a public key that may no longer connect."""


class Facts(Section):
    """What a machine must know of its federation.

    hosts: names and addresses of the server; clients connect to the first.
    port: which the server opens to clients.
    control_port: on the server's loopback alone, where runs are submitted.
    share, shares: a client carries the clients of a run with index mod `shares` == `share`;
        no share for newcomers, who bring tasks of their own.
    model, digest: the base model that init was told of, and the SHA-256 of its weights.
    version: of fedlora, which must be the same on both sides.
    """

    role: Literal["server", "client"]
    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=40)
    hosts: tuple[str, ...] = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    control_port: int = Field(ge=1, le=65535)
    shares: int = Field(ge=1)
    share: int | None = None
    secure: bool = True
    model: str | None = None
    digest: str | None = None
    version: str


@dataclass(frozen=True)
class Place:
    """One machine's folder and its facts; every path below is inside the folder."""

    folder: Path
    facts: Facts

    @property
    def address(self) -> str:
        """Where clients reach the server."""
        host = self.facts.hosts[0]
        return f"[{host}]:{self.facts.port}" if ":" in host else f"{host}:{self.facts.port}"

    @property
    def ca(self) -> Path:
        """The authority's certificate, by which both sides know the server."""
        return self.folder / "ca.crt"

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        """The private key of the server's certificate, or of a client's SuperNode."""
        return self.folder / ("server.key" if self.facts.role == "server" else "node.key")

    @property
    def nodes(self) -> Path:
        """On the server, the public keys of the SuperNodes that may connect."""
        return self.folder / "nodes"

    @property
    def state(self) -> Path:
        """What running processes keep: databases, logs, sockets."""
        return self.folder / "state"


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read(folder: Path, role: Literal["server", "client"]) -> Place:
    """The place in a folder, or in its `server` when the whole federation's folder is named.

    Raises:
        FedloraError: there is none, or it is of the other role.
    """
    inner = folder / "server"
    if role == "server" and not (folder / FILE).is_file() and (inner / FILE).is_file():
        folder = inner
    found = read_any(folder)
    if found.facts.role != role:
        raise FedloraError(
            f"{folder / FILE}: of a {found.facts.role}, not of a {role}; name the other folder"
        )
    return found


def read_any(folder: Path) -> Place:
    """The place in a folder, whatever its role.

    Raises:
        FedloraError: there is none.
    """
    file = folder / FILE
    try:
        facts = parse(Facts, _json(file))
    except FedloraError as error:
        raise FedloraError(f"{file}: {error}") from None
    return Place(folder.absolute(), facts)


def write(place: Place) -> None:
    """Keep a place's facts in its folder."""
    atomic.write_text(place.folder / FILE, place.facts.model_dump_json(indent=1) + "\n")


def _json(file: Path) -> object:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FedloraError("no such file; `fedlora deploy init DIR` writes it") from None
    except (OSError, ValueError) as error:
        raise FedloraError(f"cannot be read ({error}); copy it again") from None
