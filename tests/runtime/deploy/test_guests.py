"""The keys in a server's folder, as its SuperLink comes to know them."""

from contextlib import contextmanager

import pytest

from fedlora.errors import FedloraError
from fedlora.runtime.deploy import guests
from fedlora.runtime.deploy.control import NoAnswerError, Node, read_public_key
from fedlora.runtime.deploy.guests import Guests
from fedlora.runtime.deploy.initialise import invite
from tests.runtime.deploy.federation import make


class Book:
    """A SuperLink that may be down, and refuses the names it is told to."""

    def __init__(self):
        self.running, self.refused, self.keys = True, set(), {}

    def nodes(self):
        if not self.running:
            raise NoAnswerError("down")
        return [Node(1, name, "registered", "", key) for name, key in self.keys.items()]

    def register(self, name, key):
        if name in self.refused:
            raise FedloraError(f"{name}: refused")
        self.keys[name] = key


@pytest.fixture
def book(monkeypatch):
    found = Book()

    @contextmanager
    def control(place):
        yield found

    monkeypatch.setattr(guests, "control", control)
    monkeypatch.setattr(guests, "_EVERY", 0.0)
    return found


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
