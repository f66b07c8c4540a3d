"""`fedlora deploy doctor`: what stands in a machine's way, before a run finds out."""

import base64
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import httpx
from cryptography.exceptions import InvalidSignature
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedlora.backbone import load_base
from fedlora.config import BackboneConfig
from fedlora.errors import FedloraError
from fedlora.runtime.deploy import certificates, private
from fedlora.runtime.deploy.control import control
from fedlora.runtime.deploy.gate import STANDING, Standing
from fedlora.runtime.deploy.own import look_at
from fedlora.runtime.deploy.place import FILE, Place
from fedlora.tasks.records import read_records

_SOON = timedelta(days=30)
_MOST_SKEW = 60.0
"""Seconds; Flower takes a SuperNode's signature for five minutes."""
_LEAST_DISK = 2 << 30
_PATIENCE = 10.0
_FOREIGN = "another program holds the server's port there; end it and start the server"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    fine: bool
    says: str


def examine(place: Place, model: str | None, data: Mapping[str, str]) -> list[Finding]:
    """Look at everything that a server or a client needs.

    Args:
        place: of either role; a client's server should be running.
        model: the base model as this machine names it; None for the name that init was given.
        data: paths by what they are for, as `read_data` tells them.
    """
    checks: list[tuple[str, Callable[[], str]]] = [("versions", lambda: _versions(place))]
    if place.facts.secure:
        checks.append(("certificates", lambda: _certificates(place)))
        checks.append(("secrets", lambda: _secrets(place)))
    checks.append(("disk", lambda: _disk(place)))
    if place.facts.role == "server":
        checks.append(("ports", lambda: _ports(place)))
    else:
        checks.append(("server", lambda: _server(place)))
        if place.facts.secure:  # else it is this machine's own
            checks.append(("clock", lambda: _clock(place)))
            checks.append(("key", lambda: _key(place)))
    checks.append(("base model", lambda: _model(place, model)))
    checks += [
        (" ".join(["data", *filter(None, [task])]), partial(_data, Path(path)))
        for task, path in data.items()
    ]
    return list(_carry_out(checks))


def _carry_out(checks: list[tuple[str, Callable[[], str]]]) -> Iterator[Finding]:
    for name, check in checks:
        try:
            yield Finding(name, True, check())
        except FedloraError as error:
            yield Finding(name, False, str(error))
        except (OSError, httpx.HTTPError) as error:
            yield Finding(name, False, f"{type(error).__name__}: {error}")


def _versions(place: Place) -> str:
    ours, theirs = version("fedlora"), place.facts.version
    if ours != theirs:
        raise FedloraError(f"fedlora {ours} here, {theirs} in the federation: install {theirs}")
    return ", ".join(f"{name} {version(name)}" for name in ("fedlora", "flwr", "torch", "peft"))


def _certificates(place: Place) -> str:
    """Whether they hold today and belong together."""
    authority = certificates.read_certificate(place.ca)
    ours = [("ca.crt", authority)]
    if place.facts.role == "server":
        signed = certificates.read_certificate(place.certificate)
        try:
            signed.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            raise FedloraError(f"{place.certificate}: not signed by ca.crt; copy both") from None
        if signed.public_key() != certificates.read_key(place.key).public_key():
            raise FedloraError(f"{place.certificate}: not of {place.key.name}; copy both again")
        known = set(certificates.names_of(signed))
        if missing := [host for host in place.facts.hosts if host not in known]:
            raise FedloraError(f"{place.certificate}: not for {missing[0]}; run init again")
        ours.append(("server.pem", signed))
    now = datetime.now(UTC)
    for name, certificate in ours:
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _SOON:
            until = certificate.not_valid_after_utc.date()
            remedy = "renew it with deploy renew"
            if certificate is authority:
                remedy = "make the federation anew with deploy init: no certificate outlives it"
            raise FedloraError(f"{name}: valid until {until}; check the clock, or {remedy}")
    return f"valid until {min(each.not_valid_after_utc for _, each in ours).date()}"


def _secrets(place: Place) -> str:
    private.check(place.key)
    return f"{place.key.name} is its owner's alone"


def _disk(place: Place) -> str:
    free = shutil.disk_usage(place.folder).free
    if free < _LEAST_DISK:
        raise FedloraError(f"{free >> 20} MiB free at {place.folder}: free 2 GiB")
    return f"{free >> 30} GiB free"


def _ports(place: Place) -> str:
    """Whether both ports can be opened, or are open because the server runs."""
    ports = dict.fromkeys((place.facts.port, place.facts.control_port))
    free = {port: _is_free(port) for port in ports}
    told = ", ".join(f"{port} is {'free' if free[port] else 'open'}" for port in ports)
    if all(free.values()):
        return told
    if any(free.values()) or not _is_superlink(place):
        raise FedloraError(
            f"{told}, but not by this server: end the program that holds it, or name another port"
            f" in {place.folder / FILE}"
        )
    return f"{told} by a server"


def _is_superlink(place: Place) -> bool:
    try:
        with control(place) as superlink:
            superlink.nodes()
    except Exception:  # noqa: BLE001 - whatever it says, it is none
        return False
    return True


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("", port)).close()
    except OSError:
        return False
    return True


def _server(place: Place) -> str:
    """Whether the server can be reached, and is who it should be."""
    host, port = place.facts.hosts[0], place.facts.port
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE) as plain:
            if not place.facts.secure:
                if not _is_superlink(place):
                    raise FedloraError(f"{place.address} answers, but not as a server: {_FOREIGN}")
                return f"{place.address} answers"
            with _trust(place).wrap_socket(plain, server_hostname=host) as secured:
                return f"{place.address} answers with {secured.version()}, known by ca.crt"
    except ssl.SSLError as error:
        if error.reason == "WRONG_VERSION_NUMBER":
            raise FedloraError(f"{place.address} speaks no TLS: {_FOREIGN}") from None
        raise FedloraError(
            f"{place.address} is not the server of this folder: {error.reason or error};"
            " copy the folder again, or name the host as --hosts did"
        ) from None
    except OSError as error:
        raise FedloraError(
            f"{place.address} does not answer ({error}): start the server, open its firewall"
        ) from None


def _clock(place: Place) -> str:
    """The difference to the server's clock, which its gate tells anybody."""
    told = _asked(place, {}).get("date")
    if told is None:
        raise FedloraError(f"{place.address} does not tell its time: is it the server's port?")
    skew = (datetime.now(UTC) - parsedate_to_datetime(told)).total_seconds()
    if abs(skew) > _MOST_SKEW:
        raise FedloraError(f"{skew:+.0f} s beside the server's clock: set the time (NTP)")
    return f"{skew:+.0f} s beside the server's"


def _key(place: Place) -> str:
    """Whether the server lets this client in."""
    key = certificates.read_node_key(place.key).public_key()
    named = base64.b64encode(public_key_to_bytes(key)).decode()
    told = _asked(place, {FLEET_HTTP_PUBLIC_KEY_HEADER: named}).get(STANDING)
    if told == Standing.REVOKED:
        raise FedloraError("the server has taken this client's key back: ask to be invited again")
    if told != Standing.INVITED:
        raise FedloraError(
            "the server does not know this client's key: copy its file in server/nodes/ there"
        )
    return "the server lets it in"


def _asked(place: Place, headers: dict[str, str]) -> httpx.Headers:
    """What the gate tells anybody who asks for the time."""
    url = f"https://{place.address}/clock"
    try:
        return httpx.get(url, verify=_trust(place), timeout=_PATIENCE, headers=headers).headers
    except httpx.HTTPError as error:
        if "SSL: " in str(error):
            raise FedloraError(
                f"not asked: {place.address} is not the server of this folder; see 'server'"
            ) from None
        raise FedloraError(f"the server does not tell its time ({error}): start it") from None


def _trust(place: Place) -> ssl.SSLContext:
    """The federation's own authority and no other.

    Raises:
        FedloraError: its certificate cannot be read.
    """
    certificates.read_certificate(place.ca)
    return ssl.create_default_context(cafile=str(place.ca))


def _model(place: Place, model: str | None) -> str:
    """Whether the base model here has the weights that the federation was made with."""
    name = model or place.facts.model
    if name is None:
        return "not named at init: compared with the server's at the first message"
    digest = load_base(BackboneConfig(name=name)).digest
    if place.facts.digest not in (None, digest):
        raise FedloraError(
            f"{name} is {digest[:12]} here, {str(place.facts.digest)[:12]} in the federation:"
            " take the same weights, and name their folder with --model"
        )
    return f"{name} is {digest[:12]}"


def _data(path: Path) -> str:
    """What is there to learn from; a run's configuration says which columns it takes."""
    parts = look_at(path)
    if not parts:
        return f"{path}: a folder of images"
    rows = [row for part in parts for row in read_records(part)]
    columns = ", ".join(dict.fromkeys(name for _, row in rows[:100] for name in row))
    return f"{path}: {len(rows)} rows of {columns}"
