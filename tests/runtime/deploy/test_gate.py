import socket
import ssl
import threading
import time

import pytest

from fedlora.runtime.deploy import gate as room
from fedlora.runtime.deploy.gate import CLOCK, Doors, Standing, gate
from fedlora.runtime.processes import free_ports
from tests.runtime.deploy.federation import make

PULL = (
    b"POST /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\nFlwr-Public-Key: invited\r\n"
    b"Content-Length: 4\r\n\r\nbody"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO = b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 2\r\n\r\nno"


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    (folder / "other").mkdir()
    return [*make(folder, clients=1), make(folder / "other", clients=1)[1]]


class Upstream:
    """A SuperLink that answers every request with the same words, and keeps what it was sent."""

    def __init__(self, place):
        self.answer, self.heard, self.connections = OK, b"", 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(place.certificate, place.key)
        self.socket = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except ssl.SSLError:
                continue
            except OSError:
                return
            self.connections += 1
            with connection:
                while data := connection.recv(1 << 16):
                    self.heard += data
                    if data.endswith(b"body"):
                        connection.sendall(self.answer)


def standing(key):
    return {"invited": Standing.INVITED, "revoked": Standing.REVOKED}.get(key, Standing.UNKNOWN)


@pytest.fixture
def opened(places):
    """The upstream behind a gate, the gate's port, and what it says."""
    server = places[0]
    upstream, said = Upstream(server), []
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(server.certificate, server.key)
    trust = ssl.create_default_context(cafile=str(server.ca))
    (port,) = free_ports(1)
    with gate(Doors("127.0.0.1", port, ours, upstream.port, trust, standing), said.append):
        yield upstream, port, said
    upstream.socket.close()


def ask(place, port, *requests):
    context = ssl.create_default_context(cafile=str(place.ca))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        answers = []
        for request in requests:
            connection.sendall(request)
            answers.append(connection.recv(1 << 16))
        return answers


def eventually(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_what_supernodes_ask_passes_unchanged_again_and_again(places, opened):
    upstream, port, said = opened

    assert ask(places[1], port, PULL, PULL) == [OK, OK]
    assert upstream.heard == PULL + PULL
    assert said == []


@pytest.mark.parametrize(
    "request_",
    [
        PULL.replace(b"/v1/fleet/pull-messages", b"/v1/control/start-run"),
        PULL.replace(b"/v1/fleet/pull-messages", b"/v1/runtime/acquire-task"),
        PULL.replace(b"/v1/fleet/pull-messages", b"/v1/fleet/../control/start-run"),
        PULL.replace(b"/v1/fleet/pull-messages", b"/v1/fleet/%2e%2e/control/start-run"),
        PULL.replace(b"/v1/fleet/pull-messages", b"/v1/fleet/register-node"),
        PULL.replace(b"/v1/fleet/pull-messages", b"http://x/v1/fleet/pull-messages"),
        PULL.replace(b"POST", b"GET"),
        PULL.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PULL.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked"),
        PULL.replace(b"Content-Length: 4", b"Content-Length: 4\r\nContent-Length: 0"),
        PULL.replace(b"Content-Length: 4", b"Content-Length : 4"),
        PULL.replace(b"Content-Length: 4", b"Content-Length: +4"),
        PULL.replace(b"Content-Length: 4", b"Content-Length: 99999999999"),
        PULL.replace(b"Content-Length: 4", b"Content-Length: " + b"4" * 5000),
        PULL.replace(b"Host: x", b"X: a\nTransfer-Encoding: chunked"),
        PULL.replace(b"Host: x", b"X: a\rTransfer-Encoding: chunked"),
        PULL.replace(b"Host: x", b"X: a\0"),
        PULL.replace(b"invited", b"stranger"),
        PULL.replace(b"Flwr-Public-Key: invited", b"X: y"),
        PULL.replace(b"invited", b"invited\r\nFlwr-Public-Key: invited"),
        b"nonsense\r\n\r\n",
        b"POST " + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=range(22),
)
def test_nothing_else_passes_and_it_is_said_why(places, opened, request_):
    upstream, port, said = opened

    assert not ask(places[1], port, request_)[0].startswith(b"HTTP/1.1 200")
    assert eventually(lambda: said)
    assert said[0].startswith("refused 127.0.0.1: ")
    assert b"control" not in upstream.heard
    assert b"body" not in upstream.heard


def test_a_refusal_of_the_superlinks_is_said(places, opened):
    upstream, port, said = opened
    upstream.answer = NO

    assert ask(places[1], port, PULL) == [NO]
    assert said == [
        "refused 127.0.0.1 at /v1/fleet/pull-messages: its last connection still counts, for a"
        " minute"
    ]


def test_a_stranger_without_tls_or_with_another_authority_is_told_nothing(places, opened):
    upstream, port, said = opened

    with pytest.raises(ssl.SSLCertVerificationError):
        ask(places[2], port, PULL)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.sendall(PULL)
        assert not plain.recv(1 << 16).startswith(b"HTTP")
    assert eventually(lambda: len(said) == 2)
    assert all("no TLS that this server speaks" in line for line in said)
    assert upstream.heard == b""


def test_a_stranger_costs_the_superlink_no_connection(places, opened):
    upstream, port, said = opened
    refused = ask(places[1], port, PULL.replace(b"invited", b"stranger"))

    assert refused[0].startswith(b"HTTP/1.1 401")
    assert upstream.connections == 0
    ask(places[1], port, PULL.replace(b"invited", b"stranger"))
    assert said == ["refused 127.0.0.1: a key that was not invited"]


def test_one_address_cannot_take_all_connections(places, opened, monkeypatch):
    monkeypatch.setattr(room, "_MOST_OF_ONE", 2)
    _, port, said = opened
    silent = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(2)]

    with pytest.raises((OSError, ssl.SSLError)):
        ask(places[1], port, PULL)
    assert eventually(lambda: said == ["refused 127.0.0.1: too many connections"])
    for connection in silent:
        connection.close()
    assert eventually(lambda: _passes(places[1], port))


def _passes(place, port):
    try:
        return ask(place, port, PULL) == [OK]
    except OSError:
        return False


@pytest.mark.parametrize("key", ["invited", "revoked", "strange", None])
def test_anybody_is_told_the_time_and_how_a_key_stands(places, opened, key):
    upstream, port, said = opened
    header = b"" if key is None else b"Flwr-Public-Key: %s\r\n" % key.encode()
    (told,) = ask(places[1], port, CLOCK + b"Host: x\r\n" + header + b"\r\n")

    assert told.startswith(b"HTTP/1.1 204 No Content\r\nDate: ")
    stands = key if key in ("invited", "revoked") else "unknown"
    assert told.endswith(b"Fedlora-Key: %s\r\n\r\n" % stands.encode())
    assert (upstream.connections, said) == (0, [])


def test_a_key_that_was_taken_back_is_told_so_and_passes_nothing(places, opened):
    upstream, port, said = opened
    pull = PULL.replace(b"invited", b"revoked")
    for request, status in (
        (pull, b"401 "),
        (pull.replace(b"pull-messages", b"activate-node"), b"410 "),
    ):
        (told,) = ask(places[1], port, request)
        assert told.startswith(b"HTTP/1.1 " + status)
    assert upstream.connections == 0
    assert "taken back" in said[0]
