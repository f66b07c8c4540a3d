"""A SuperLink's Control API, asked from the server's own machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    RegisterNodeRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.constant import NodeStatus
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedlora import atomic
from fedlora.errors import FedloraError
from fedlora.runtime.deploy.place import CONNECTION, Place


@dataclass(frozen=True)
class Node:
    """A SuperNode that the server knows.

    status: registered (never seen), online or offline.
    since: when it last came or went, in ISO 8601; empty when it never did.
    """

    id: int
    name: str
    status: str
    since: str
    public_key: bytes


class NoAnswerError(FedloraError):
    """The SuperLink does not run, or not yet."""


class Control:
    """What the server asks of its SuperLink."""

    def __init__(self, client: ControlHttpClient) -> None:
        self._client = client

    def nodes(self) -> list[Node]:
        """Every SuperNode that is registered.

        Raises:
            NoAnswerError: the SuperLink does not answer.
        """
        try:
            told = self._client.ListNodes(ListNodesRequest())
        except httpx.HTTPError as error:
            raise NoAnswerError(f"the SuperLink does not answer: {error}") from None
        return [
            Node(
                each.node_id,
                each.name,
                each.status,
                max(each.last_activated_at, each.last_deactivated_at),
                each.public_key,
            )
            for each in told.nodes_info
            if each.status != NodeStatus.UNREGISTERED
        ]

    def register(self, name: str, public_key: bytes) -> None:
        """Let a SuperNode in.

        Raises:
            NoAnswerError: the SuperLink does not answer.
            FedloraError: it refuses the key.
        """
        request = RegisterNodeRequest(public_key=public_key, name=name)
        with _understood(f"{name}: the SuperLink refuses its key"):
            self._client.RegisterNode(request)

    def unregister(self, node: Node) -> None:
        """Let a SuperNode in no more, for good: Flower takes a key once.

        Raises:
            NoAnswerError: the SuperLink does not answer.
            FedloraError: it does not know the SuperNode.
        """
        with _understood(f"{node.name}: the SuperLink does not put it out"):
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=node.id))


@contextmanager
def _understood(what: str) -> Iterator[None]:
    """A SuperLink's refusal as an error of ours."""
    try:
        yield
    except httpx.TransportError as error:
        raise NoAnswerError(f"the SuperLink does not answer: {error}") from None
    except httpx.HTTPError as error:
        raise FedloraError(f"{what}: {error}") from None


@contextmanager
def control(place: Place) -> Iterator[Control]:
    """A connection to the SuperLink of a server's place."""
    address = f"127.0.0.1:{place.facts.control_port}"
    secure = place.facts.secure
    client = ControlHttpClient.from_server_address(
        address,
        insecure=not secure,
        root_certificates=place.ca.read_bytes() if secure else None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="fedlora")],
    )
    try:
        yield Control(client)
    finally:
        client.close()


def read_public_key(path: Path) -> bytes:
    """A SuperNode's public key, as Flower stores it.

    Raises:
        FedloraError: the file is no key on the right curve.
    """
    try:
        key = load_ssh_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm, NotImplementedError) as error:
        raise FedloraError(f"{path}: no public key can be read from it ({error})") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        raise FedloraError(f"{path}: not a key on P-384; fedlora deploy invite makes one")
    return public_key_to_bytes(key)


def write_connection(place: Place) -> Path:
    """The home of Flower's own commands on the server, which names the SuperLink there."""
    home = place.state / "flower"
    lines = ["[superlink]", f'default = "{CONNECTION}"', "", f"[superlink.{CONNECTION}]"]
    lines.append(f'address = "127.0.0.1:{place.facts.control_port}"')
    # A TOML string in double quotes takes a path as JSON does.
    secure = f'root-certificates = "{_escaped(place.ca)}"'
    lines.append(secure if place.facts.secure else "insecure = true")
    atomic.write_text(home / "config.toml", "\n".join(lines) + "\n")
    return home


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
