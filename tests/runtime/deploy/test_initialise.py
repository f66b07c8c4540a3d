import re
import shutil
import ssl
import stat
import subprocess
from datetime import timedelta
from importlib.metadata import version

import pytest
import yaml
from typer.testing import CliRunner

from fedlora import atomic
from fedlora.cli import app
from fedlora.errors import FedloraError
from fedlora.runtime.deploy import certificates, place, private
from fedlora.runtime.deploy.client import Party, run_client
from fedlora.runtime.deploy.control import read_public_key
from fedlora.runtime.deploy.initialise import initialise, invite, renew, revoke
from fedlora.runtime.deploy.own import Own
from fedlora.runtime.deploy.server import run_server
from fedlora.runtime.deploy.shares import share_of
from fedlora.section import parse
from tests.runtime.deploy.compose import MOUNT, Compose
from tests.runtime.deploy.federation import make

HOSTS = ("server.example", "10.1.2.3", "fd00::1")


def handshake(server_place, ca, host):
    """A TLS handshake in memory, or what the client says against it."""
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=ca)
    ours.load_cert_chain(server_place.certificate, server_place.key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = theirs.wrap_bio(down, up, server_hostname=host)
    server = ours.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.getpeercert()


def test_the_server_is_known_by_each_of_its_names_and_by_no_other(tmp_path):
    server, client, _ = make(tmp_path, hosts=HOSTS)

    for host in (*HOSTS, "127.0.0.1", "localhost"):
        assert handshake(server, client.ca, host)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client.ca, "other.example")


def test_another_federations_authority_does_not_know_the_server(tmp_path):
    (tmp_path / "other").mkdir()
    server, stranger = make(tmp_path)[0], make(tmp_path / "other")[1]

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, stranger.ca, "127.0.0.1")


def test_every_secret_is_its_owners_alone(tmp_path):
    make(tmp_path)
    secrets = [
        file
        for file in (tmp_path / "fed").rglob("*")
        if file.is_file() and b"PRIVATE KEY" in file.read_bytes()
    ]

    assert sorted(file.name for file in secrets) == ["ca.key", "node.key", "node.key", "server.key"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}
    assert {stat.S_IMODE(file.parent.stat().st_mode) for file in secrets} == {0o700}
    for file in secrets:
        private.check(file)
    secrets[0].chmod(0o640)
    with pytest.raises(FedloraError, match=r"others can read it \(mode 640\)"):
        private.check(secrets[0])


def test_each_supernode_has_a_key_of_its_own_that_flower_takes(tmp_path):
    server, *clients = make(tmp_path, clients=3)
    keys = {read_public_key(file) for file in server.nodes.iterdir()}

    assert len(keys) == len(clients) == 3
    assert [client.facts.share for client in clients] == [0, 1, 2]
    assert [share_of(server.nodes / f"{c.folder.name}.pub") for c in clients] == [0, 1, 2]


def test_an_invited_newcomer_has_a_key_and_no_share(tmp_path):
    server = make(tmp_path)[0]
    newcomer = invite(tmp_path / "fed", "late")

    assert newcomer.facts.share is None
    assert place.read(newcomer.folder, "client") == newcomer
    assert (server.nodes / "late.pub").is_file()
    with pytest.raises(FedloraError, match="invited already"):
        invite(tmp_path / "fed", "late")


def test_a_renewed_certificate_is_trusted_by_clients_that_have_nothing_new(tmp_path):
    server, client, _ = make(tmp_path, hosts=HOSTS)
    before = server.key.read_bytes(), server.certificate.read_bytes()

    assert renew(tmp_path / "fed") == server

    assert server.key.read_bytes() != before[0]
    assert server.certificate.read_bytes() != before[1]
    assert stat.S_IMODE(server.key.stat().st_mode) == 0o600
    assert handshake(server, client.ca, HOSTS[0])


def test_nothing_is_renewed_without_the_authority(tmp_path):
    server = make(tmp_path)[0]
    before = server.certificate.read_bytes()
    (tmp_path / "fed" / "authority" / "ca.key").unlink()

    with pytest.raises(FedloraError, match=r"ca\.key: no private key can be read"):
        renew(tmp_path / "fed")
    assert server.certificate.read_bytes() == before
    (tmp_path / "open").mkdir()
    make(tmp_path / "open", secure=False)
    with pytest.raises(FedloraError, match="has no certificate to renew"):
        renew(tmp_path / "open" / "fed")


def test_an_expired_certificate_opens_no_gate(tmp_path, monkeypatch):
    monkeypatch.setattr(certificates, "SERVER_DAYS", 0)
    monkeypatch.setattr(certificates, "_EARLIER", timedelta(days=2))
    server = make(tmp_path)[0]

    with pytest.raises(FedloraError, match=r"server\.pem: expired on .*; renew it with"):
        run_server(server, "127.0.0.1", print, lambda: True)


@pytest.mark.parametrize(
    "host",
    ["bad host name!", "", "a..b", "-a.example", "http://x", "0.0.0.0", "::", "999.1.1.1"],
)
def test_what_is_no_host_is_refused(tmp_path, host):
    with pytest.raises(FedloraError, match="is no name or address that clients can reach"):
        make(tmp_path, hosts=("127.0.0.1", host))
    assert not (tmp_path / "fed").exists()


def test_an_image_gets_nothing_of_a_folder_but_the_wheel(tmp_path):
    server = make(tmp_path)[0].folder

    assert (server / ".dockerignore").read_text().splitlines()[1:] == ["*", "!fedlora-*.whl"]
    assert re.findall("COPY (\\S+)", (server / "Dockerfile").read_text()) == [
        f"fedlora-{version('fedlora')}-py3-none-any.whl"
    ]


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    make(tmp_path)
    before = (tmp_path / "fed" / "server" / "server.key").read_bytes()

    with pytest.raises(FedloraError, match="not empty"):
        make(tmp_path)
    assert (tmp_path / "fed" / "server" / "server.key").read_bytes() == before


def test_insecure_is_for_the_loopback_alone(tmp_path):
    with pytest.raises(FedloraError, match="for the loopback alone"):
        initialise(tmp_path / "x", "x", ("10.0.0.1",), 1, 9000, 9001, False, None)
    assert not (tmp_path / "x").exists()
    server, client = make(tmp_path, clients=1, secure=False)
    assert not list((tmp_path / "fed").rglob("*.key"))
    assert client.address == f"127.0.0.1:{server.facts.control_port}"


def test_starters_are_well_formed(tmp_path):
    for written in make(tmp_path):
        role, folder = written.facts.role, written.folder
        compose = parse(Compose, yaml.safe_load((folder / "compose.yaml").read_text()))
        service = compose.services[role]
        assert all(re.match(MOUNT, volume) for volume in service.volumes)
        assert (folder / service.env_file[0]).is_file()
        assert service.command == ["deploy", role]
        subprocess.run(["sh", "-n", folder / "start.sh"], check=True)
        lines = (folder / f"{role}.env").read_text().splitlines()
        assert all(re.match(r"^(#.*|[A-Z_]+=.*)$", line) for line in lines)
        (rotation,) = folder.glob("*.logrotate")
        assert re.search(
            rf"^{folder}/state/\*\.log {{\n    su \S+ \S+\n( +[a-z]+( \w+)?\n)+}}\n",
            rotation.read_text(),
            re.M,
        )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_units(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/true")  # units name a fedlora that must exist
    places = make(tmp_path)
    units = [next(written.folder.glob("*.service")) for written in places]
    for unit in units:
        unit.write_text(unit.read_text().replace("/bin/fedlora", "/bin/true"))

    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if "fedlora-" in line] == []


def test_the_readmes_commands_exist(tmp_path):
    make(tmp_path)
    text = (tmp_path / "fed" / "README.md").read_text()
    numbered = re.findall(r"^# (\d+)\. ", text, re.M)
    commands = set(re.findall(r"fedlora deploy (\w+)", text))

    assert numbered == [str(number) for number in range(1, 11)]
    for command in commands:
        assert CliRunner().invoke(app, ["deploy", command, "--help"]).exit_code == 0, command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file"),
        ("{", "cannot be read"),
        ('{"role": "client"}', "missing"),
    ],
)
def test_a_place_that_cannot_be_used_says_why(tmp_path, text, words):
    if text is not None:
        (tmp_path / place.FILE).write_text(text)
    with pytest.raises(FedloraError, match=words):
        place.read(tmp_path, "client")


def test_the_whole_folder_stands_for_its_server_but_not_for_a_client(tmp_path):
    server = make(tmp_path)[0]

    assert place.read(tmp_path / "fed", "server") == server
    with pytest.raises(FedloraError, match="of a server, not of a client"):
        place.read(server.folder, "client")


@pytest.mark.parametrize("name", ["../b", "a b", "", "a/b", "-a", "x" * 41, "\u00e4.."])
def test_what_is_no_name_makes_no_key(tmp_path, name):
    make(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(FedloraError, match="take up to 40 letters, digits, '-' and '_'"):
        invite(tmp_path / "fed", name)
    with pytest.raises(FedloraError, match=r"--name: .*take up to 40"):
        initialise(tmp_path / "new", name, ("127.0.0.1",), 1, 9000, 9001, True, None)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["with space", "quo'te", "per%cent", "dol$lar"])
def test_a_folder_that_starters_could_not_name_is_refused(tmp_path, name):
    with pytest.raises(FedloraError, match="cannot name a folder with"):
        initialise(tmp_path / name, "x", ("127.0.0.1",), 1, 9000, 9001, True, None)
    assert not (tmp_path / name).exists()


def test_a_file_is_no_folder_to_write_in(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FedloraError, match="a file; name a new folder"):
        initialise(tmp_path / "file", "x", ("127.0.0.1",), 1, 9000, 9001, True, None)


def test_a_revoked_clients_share_goes_to_whoever_is_invited_instead(tmp_path):
    make(tmp_path)
    with pytest.raises(FedloraError, match="client-1 was not revoked"):
        invite(tmp_path / "fed", "second", instead_of="client-1")
    revoke(tmp_path / "fed", "client-1")

    assert invite(tmp_path / "fed", "second", instead_of="client-1").facts.share == 1
    with pytest.raises(FedloraError, match="second carries the share of client-1 already"):
        invite(tmp_path / "fed", "third", instead_of="client-1")
    assert invite(tmp_path / "fed", "third").facts.share is None
    nodes = tmp_path / "fed" / "server" / "nodes"
    assert [share_of(nodes / f"{name}.pub") for name in ("client-0", "second", "third")] == [
        0,
        1,
        None,
    ]


def test_a_key_is_not_replaced_by_inviting_its_name_again(tmp_path):
    server = make(tmp_path)[0]
    shutil.rmtree(tmp_path / "fed" / "clients" / "client-0")
    before = (server.nodes / "client-0.pub").read_bytes()

    with pytest.raises(FedloraError, match="invited already"):
        invite(tmp_path / "fed", "client-0")
    assert (server.nodes / "client-0.pub").read_bytes() == before


@pytest.mark.parametrize("file", ["node.key", "ca.crt"])
def test_a_damaged_file_of_a_client_is_named_before_anything_starts(tmp_path, file):
    client = make(tmp_path)[1]
    (client.folder / file).write_text("garbage")

    with pytest.raises(FedloraError, match=rf"{file}: no .* can be read from it"):
        run_client(client, Party(Own({}, None, 0, 2)), print, lambda: True)


@pytest.mark.parametrize("file", ["server.key", "ca.crt", "server.pem"])
def test_a_damaged_file_of_the_server_is_named_before_anything_starts(tmp_path, file):
    server = make(tmp_path)[0]
    (server.folder / file).write_text("garbage")

    with pytest.raises(FedloraError, match=rf"{file}: no .* can be read from it"):
        run_server(server, "127.0.0.1", print, lambda: True)


def test_a_clients_folder_is_one_commands(tmp_path):
    client = make(tmp_path)[1]
    private.folder(client.state)

    with (
        atomic.alone(client.state),
        pytest.raises(FedloraError, match="another process works in this folder"),
    ):
        run_client(client, Party(Own({}, None, 0, 2)), print, lambda: True)
