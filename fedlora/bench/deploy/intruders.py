"""Who should not get in, or not get far: tried on a federation, and what both sides said."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file

from fedlora.backbone.weights import ASSETS
from fedlora.bench.deploy.machines import Machine, eventually
from fedlora.bench.deploy.rehearsal import Rehearsal
from fedlora.runtime.deploy import certificates, private

_PATIENCE = 400.0


@dataclass(frozen=True)
class Tried:
    """One intruder: whether both sides refused it with a line that says why."""

    name: str
    refused: bool
    client_said: str
    server_said: str


def strangers(federation: Rehearsal) -> list[Tried]:
    """A SuperNode whose key was never let in, and one that trusts another authority."""
    unregistered = _uninvited(federation)
    misled = federation.invite("misled")
    other = certificates.new_authority("another")
    misled.ca.write_bytes(certificates.certificate_bytes(other.certificate))
    server = federation.running["server"]
    with (
        _joined(federation, "unregistered", "client", unregistered) as first,
        _joined(federation, "misled", "client", misled.folder) as second,
    ):
        return [
            _tried(
                "unregistered key",
                first,
                "does not know this SuperNode's key",
                server,
                "was not invited",
            ),
            _tried("another authority", second, "is not signed by", server, "no TLS that"),
        ]


def misfits(federation: Rehearsal, data: Path) -> list[Tried]:
    """Newcomers with keys that fit, but another fedlora, or base model weights of their own."""
    standing = federation.running["standing"]
    common = ("--data", data, "--out")
    elsewhere = {"PYTHONPATH": _other_version(federation.folder / "elsewhere")}
    weights = _tampered(federation.folder / "tampered")
    places = [federation.invite(name) for name in ("version", "tampered")]
    for place in places:
        federation.running["server"].wait_for(f"let in {place.folder.name}")
    older, other = (place.folder for place in places)
    out = federation.folder / "never"
    with _joined(federation, "version", "adopt", older, *common, out, env=elsewhere) as machine:
        first = _tried("another fedlora", machine, "runs fedlora 9.9.9", standing, "9.9.9")
    words = (other, *common, out, "--model", weights)
    with _joined(federation, "tampered", "adopt", *words) as machine:
        second = _tried("tampered base model", machine, "base model is", standing, "base model is")
    return [first, second]


def _uninvited(federation: Rehearsal) -> Path:
    """A client's folder, with a key that nobody has let in."""
    folder = federation.folder / "unregistered"
    source = federation.client_places[0].folder
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("state"))
    private.write(folder / "node.key", certificates.node_key_bytes(certificates.new_key(), "")[0])
    return folder


@contextmanager
def _joined(
    federation: Rehearsal, name: str, *words: object, env: dict[str, str] | None = None
) -> Iterator[Machine]:
    prefix = federation.hosts[-1].prefix if federation.hosts else ()
    machine = federation.start(f"intruder-{name}", "deploy", *words, prefix=prefix, env=env)
    try:
        yield machine
    finally:
        machine.stop()


def _tried(name: str, machine: Machine, ours: str, server: Machine, theirs: str) -> Tried:
    eventually(lambda: ours in machine.said() and theirs in server.said(), _PATIENCE)
    said = [_line(machine.said(), ours), _line(server.said(), theirs)]
    return Tried(name, all(said), *said)


def _line(text: str, words: str) -> str:
    """The first line with these words; empty without one."""
    return next((line.strip()[:200] for line in text.splitlines() if words in line), "")


def _other_version(folder: Path) -> str:
    """A PYTHONPATH on which fedlora says that it is of another version."""
    metadata = folder / "fedlora-9.9.9.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: fedlora\nVersion: 9.9.9\n")
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


def _tampered(folder: Path) -> Path:
    """The tiny vision transformer with one weight moved a little."""
    shutil.copytree(ASSETS / "tiny_vit", folder)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    first = sorted(tensors)[0]
    tensors[first] = tensors[first] + 1e-3
    save_file(tensors, file, metadata={"format": "pt"})
    return folder
