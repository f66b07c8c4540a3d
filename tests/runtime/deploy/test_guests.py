"""The keys in a server's folder, as its SuperLink comes to know them."""

import base64
import json
import shutil
from contextlib import contextmanager

import pytest

from fedlora.errors import FedloraError
from fedlora.runtime.deploy import guests
from fedlora.runtime.deploy.control import NoAnswerError, Node, read_public_key
from fedlora.runtime.deploy.gate import Standing
from fedlora.runtime.deploy.guests import Guests
from fedlora.runtime.deploy.initialise import invite, revoke
from tests.runtime.deploy.federation import make


class Book:
    """A SuperLink that may be down, and refuses the names it is told to."""

    def __init__(self):
        self.running, self.refused, self.keys = True, set(), {}

    def nodes(self):
        if not self.running:
            raise NoAnswerError("down")
        return [Node(i, n, "registered", "", k) for i, (n, k) in enumerate(self.keys.items())]

    def register(self, name, key):
        if name in self.refused:
            raise FedloraError(f"{name}: refused")
        self.keys[name] = key

    def unregister(self, node):
        del self.keys[node.name]


@pytest.fixture
def book(monkeypatch):
    found = Book()

    @contextmanager
    def control(place):
        yield found

    monkeypatch.setattr(guests, "control", control)
    monkeypatch.setattr(guests, "_EVERY", 0.0)
    return found


def named(server, name):
    """A key as requests name it."""
    (file,) = server.nodes.glob(f"{name}.*")
    return base64.b64encode(read_public_key(file)).decode()


def shares(server):
    """Those that ServerApps are told of."""
    return sorted(json.loads((server.state / "shares.json").read_text())["nodes"].values())


def test_a_file_copied_by_half_is_read_again_when_it_is_whole(tmp_path, book):
    server, said = make(tmp_path)[0], []
    whole = (server.nodes / "client-0.pub").read_bytes()
    (server.nodes / "client-0.pub").write_bytes(whole[:40])
    looking = Guests(server, said.append)
    looking.look()
    assert list(book.keys) == ["client-1"]

    (server.nodes / "client-0.pub").write_bytes(whole)
    looking.look()
    assert sorted(book.keys) == ["client-0", "client-1"]
    assert shares(server) == [0, 1]


def test_keys_are_registered_once_the_superlink_answers_and_later_ones_too(tmp_path, book):
    server, said = make(tmp_path)[0], []
    looking = Guests(server, said.append)
    book.running = False
    looking.look()
    assert not looking.registered
    book.running = True
    looking.look()
    assert looking.registered
    assert said == ["let in client-0", "let in client-1"]

    invite(tmp_path / "fed", "late")
    looking.look()
    assert said[2:] == ["let in late"]
    assert book.keys["late"] == read_public_key(server.nodes / "late.pub")


def test_a_key_that_cannot_be_registered_costs_no_other_its_place(tmp_path, book):
    server, said = make(tmp_path)[0], []
    (server.nodes / "a.pub").write_text("no key")
    book.refused = {"client-0"}
    looking = Guests(server, said.append)
    for _ in range(3):
        looking.look()
    assert looking.registered
    assert list(book.keys) == ["client-1"]
    assert len(said) == 3
    assert "a.pub: no public key" in said[0]
    assert said[1:] == ["client-0: refused", "let in client-1"]


def test_a_revoked_key_is_put_out_and_not_let_in_again(tmp_path, book):
    server, said = make(tmp_path)[0], []
    before = Guests(server, said.append)
    before.look()

    revoke(tmp_path / "fed", "client-0")
    before.look()
    assert said[2:] == ["put out client-0"]
    assert list(book.keys) == ["client-1"]
    standing = [before.standing(named(server, name)) for name in ("client-0", "client-1")]
    assert standing == [Standing.REVOKED, Standing.INVITED]
    assert before.standing("x") == Standing.UNKNOWN
    assert shares(server) == [1]

    Guests(server, said.append).look()  # the server starts anew, the SuperLink knows what it knew
    assert list(book.keys) == ["client-1"]
    shutil.rmtree(tmp_path / "fed" / "clients" / "client-0")
    with pytest.raises(FedloraError, match="client-0: revoked"):
        invite(tmp_path / "fed", "client-0")


def test_a_key_revoked_while_the_server_was_down_is_put_out_before_the_gate_opens(tmp_path, book):
    server, said = make(tmp_path)[0], []
    Guests(server, said.append).look()
    revoke(tmp_path / "fed" / "server", "client-1")
    book.running = False
    looking = Guests(server, said.append)

    looking.look()
    assert not looking.registered
    book.running = True
    looking.look()
    assert looking.registered
    assert list(book.keys) == ["client-0"]


@pytest.mark.parametrize("name", ["nobody", "../../server/nodes/client-0", ""])
def test_what_is_no_key_cannot_be_revoked(tmp_path, name):
    server = make(tmp_path)[0]

    with pytest.raises(FedloraError, match="no such key; there are client-0, client-1"):
        revoke(server.folder, name)
    assert len(list(server.nodes.glob("*.pub"))) == 2


def test_a_lost_file_puts_nobody_out(tmp_path, book):
    server, said = make(tmp_path)[0], []
    looking = Guests(server, said.append)
    looking.look()
    (server.nodes / "client-0.pub").unlink()

    looking.look()
    assert len(book.keys) == 2
