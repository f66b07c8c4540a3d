"""`fedlora deploy init`: everything that the machines of a federation need, in one folder."""

import getpass
import grp
import ipaddress
import os
import re
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from fedlora import atomic
from fedlora.errors import FedloraError
from fedlora.runtime.deploy import certificates, place, private
from fedlora.runtime.deploy.place import REVOKED, Facts, Place
from fedlora.runtime.deploy.shares import comment_of, share_of

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_TEMPLATES = Environment(
    loader=PackageLoader("fedlora.runtime.deploy"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # no page of a browser
)


def initialise(
    folder: Path,
    name: str,
    hosts: Sequence[str],
    clients: int,
    port: int,
    control_port: int,
    secure: bool,
    model: tuple[str, str] | None,
) -> list[Place]:
    """Write the folders of the authority, the server and every client.

    Args:
        folder: a new one, which is there whole or not at all.
        name: of the federation.
        hosts: names and addresses of the server; clients connect to the first.
        clients: SuperNodes to make a key for, each with its share of a run's clients.
        port: which the server opens.
        control_port: for its own loopback; the same port where nothing is secured.
        secure: TLS and keys; without them every host must be this machine's loopback.
        model: the base model's name and digest, for both sides to compare; None leaves it to
            the first message of a run.

    Returns:
        The server's place and the clients', in their order.

    Raises:
        FedloraError: the folder holds something already, or the arguments do not fit together.
    """
    _check_folder(folder)
    _check_name(name, "--name")
    if bad := [host for host in hosts if not _is_host(host)]:
        raise FedloraError(
            f"--hosts: {bad[0]!a} is no name or address that clients can reach; correct it"
        )
    if not secure and not all(place.is_loopback(host) for host in hosts):
        raise FedloraError("--insecure is for the loopback alone: name 127.0.0.1, or leave it out")
    if secure and control_port == port:
        raise FedloraError(f"control port {port} is the clients' port as well; name another")
    base = dict(zip(("model", "digest"), model, strict=True)) if model else {}
    common = {
        "name": name,
        "hosts": tuple(hosts),
        "port": port,
        "control_port": control_port if secure else port,
        "shares": clients,
        "secure": secure,
        "version": version("fedlora"),
        **base,
    }
    server = Facts.model_validate({**common, "role": "server"})
    authority = certificates.new_authority(name) if secure else None
    with atomic.folder(folder) as root:
        places = [_write_server(root, server, authority)]
        for share in range(clients):
            facts = server.model_copy(update={"role": "client", "share": share})
            places.append(_write_client(root, f"client-{share}", facts))
        readme = _render("README.md", facts=server, days=certificates.SERVER_DAYS)
        atomic.write_text(root / "README.md", readme)
        for number, written in enumerate(places):
            final = folder.absolute() / written.folder.relative_to(root)
            places[number] = Place(final, written.facts)
            _write_starters(written, final)
    return places


def invite(folder: Path, name: str, instead_of: str | None = None) -> Place:
    """A key for one more SuperNode: a newcomer's, which carries no share of a run.

    A running server whose folder this is lets it in within a second or two.

    Args:
        folder: the federation's.
        name: of the SuperNode.
        instead_of: a client whose key was revoked, and whose share of a run this one carries.

    Raises:
        FedloraError: the folder is no federation's, has a client of this name, none to replace, or
            one that carries its share already.
    """
    _check_name(name, "the client's name")
    server = place.read(folder / "server", "server")
    target = folder / "clients" / name
    if target.exists() or (server.nodes / f"{name}.pub").exists():
        raise FedloraError(f"{target}: invited already; name another, or copy that folder")
    if (server.nodes / f"{name}{REVOKED}").exists():
        raise FedloraError(f"{name}: revoked; name another, a name is of one key")
    share = None if instead_of is None else _share_of_revoked(server, instead_of)
    facts = server.facts.model_copy(update={"role": "client", "share": share})
    facts = Facts.model_validate(facts.model_dump())
    written = _write_client(folder, name, facts)
    _write_starters(written, target.absolute())
    return Place(target.absolute(), facts)


def _share_of_revoked(server: Place, name: str) -> int | None:
    _check_name(name, "--instead-of")
    file = server.nodes / f"{name}{REVOKED}"
    if not file.is_file():
        raise FedloraError(f"--instead-of: {name} was not revoked; do that first")
    share = share_of(file)
    taken = [key for key in sorted(server.nodes.glob("*.pub")) if share_of(key) == share]
    if share is not None and taken:
        raise FedloraError(
            f"--instead-of: {taken[0].stem} carries the share of {name} already; revoke it first"
        )
    return share


def revoke(folder: Path, name: str) -> Path:
    """Let a SuperNode in no more: its public key stays, under another ending.

    A running server whose folder this is puts it out within a second or two.

    Returns:
        The file that says so.

    Raises:
        FedloraError: the folder is no server's or federation's, or knows no such key.
    """
    server = place.read(folder, "server")
    if not server.facts.secure:
        raise FedloraError(f"{folder}: made with --insecure, it has no keys to take back")
    file = server.nodes / f"{name}.pub"
    if not (file.parent == server.nodes and file.is_file()):
        known = ", ".join(sorted(each.stem for each in server.nodes.glob("*.pub"))) or "none"
        raise FedloraError(f"{file}: no such key; there are {known}")
    return file.rename(file.with_suffix(REVOKED))


def renew(folder: Path) -> Place:
    """A new key and certificate for the server, by the same authority, for the same names.

    Clients trust it as they trusted the last one. A server that runs goes on with the old one.

    Raises:
        FedloraError: the folder is no federation's with TLS, or lacks its authority.
    """
    server = place.read(folder / "server", "server")
    if not server.facts.secure:
        raise FedloraError(f"{folder}: made with --insecure, it has no certificate to renew")
    kept = folder / "authority"
    authority = certificates.Authority(
        certificates.read_key(kept / "ca.key"), certificates.read_certificate(kept / "ca.crt")
    )
    _certify(server, authority)
    return server


def _write_server(root: Path, facts: Facts, authority: certificates.Authority | None) -> Place:
    written = Place(private.folder(root / "server"), facts)
    private.folder(written.nodes)
    place.write(written)
    if authority is not None:
        kept = private.folder(root / "authority")
        private.write(kept / "ca.key", certificates.key_bytes(authority.key))
        ca = certificates.certificate_bytes(authority.certificate)
        atomic.write_bytes(kept / "ca.crt", ca)
        atomic.write_bytes(written.ca, ca)
        _certify(written, authority)
    return written


def _certify(server: Place, authority: certificates.Authority) -> None:
    key = certificates.new_key()
    signed = certificates.sign_server(authority, [*server.facts.hosts, *LOOPBACK], key)
    private.write(server.key, certificates.key_bytes(key))
    atomic.write_bytes(server.certificate, certificates.certificate_bytes(signed))


def _write_client(root: Path, name: str, facts: Facts) -> Place:
    """A client's folder, and its public key among those that the server lets in."""
    written = Place(private.folder(root / "clients" / name), facts)
    place.write(written)
    if facts.secure:
        shutil.copy(root / "server" / "ca.crt", written.ca)
        key, public = certificates.node_key_bytes(certificates.new_key(), comment_of(facts.share))
        private.write(written.key, key)
        atomic.write_bytes(root / "server" / "nodes" / f"{name}.pub", public)
    return written


def _write_starters(written: Place, final: Path) -> None:
    """What starts a place that ends up at `final`, by hand or otherwise, and rotates its logs."""
    role = written.facts.role
    part = role if role == "server" else final.name
    unit, rotation = f"fedlora-{part}.service", f"fedlora-{part}.logrotate"
    names = {
        f"{role}.env": f"{role}.env",
        "start.sh": "start.sh",
        unit: "service",
        rotation: "logrotate",
        "compose.yaml": "compose.yaml",
        "Dockerfile": "Dockerfile",
        ".dockerignore": "dockerignore",
    }
    command = Path(sys.executable).parent / "fedlora"
    for file, template in names.items():
        text = _render(
            template,
            facts=written.facts,
            folder=final,
            part=part,
            unit=unit,
            rotation=rotation,
            user=getpass.getuser(),
            group=_group(),
            owner=f"{os.getuid()}:{os.getgid()}",
            command=command,
        )
        atomic.write_text(written.folder / file, text)
    (written.folder / "start.sh").chmod(0o755)


def _group() -> str:
    """This user's, by its name where it has one."""
    try:
        return grp.getgrgid(os.getgid()).gr_name
    except KeyError:
        return str(os.getgid())


def _render(template: str, **values: object) -> str:
    return _TEMPLATES.get_template(f"{template}.j2").render(**values)


def _check_name(name: str, what: str) -> None:
    """Refuse a name that cannot be a file's, a unit's and a container's alike.

    Raises:
        FedloraError: it is empty, long, or holds anything but letters, digits, '-' and '_'.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
        raise FedloraError(f"{what}: {name[:60]!a}; take up to 40 letters, digits, '-' and '_'")


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is used, or whose path a shell or systemd would read otherwise.

    Raises:
        FedloraError: see above.
    """
    if folder.exists() and not folder.is_dir():
        raise FedloraError(f"{folder}: a file; name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise FedloraError(f"{folder}: not empty; name a new folder, keys are never overwritten")
    odd = {sign for sign in str(folder.absolute()) if not (sign.isalnum() or sign in "/._-+@,=~")}
    if odd:
        raise FedloraError(
            f"{folder.absolute()}: environment files and units cannot name a folder with"
            f" {', '.join(map(ascii, sorted(odd)))}; choose another"
        )


def _is_host(host: str) -> bool:
    """Whether it may be a name (RFC 1123), or an address of one machine."""
    try:
        return not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
        named = re.fullmatch(rf"{label}(\.{label})*\.?", host)
        return named is not None and not re.fullmatch(r"[0-9.]+", host)
