from types import SimpleNamespace

import pytest

from fedlora.runtime import probes as room
from fedlora.runtime.backlog import Flight
from fedlora.runtime.probes import Probes


class Node:
    """A grid of one node: it answers questions in their order, unless it works on something."""

    def __init__(self):
        self.busy, self.waiting, self.sent = True, [], 0

    def push_messages(self, messages):
        names = [f"probe-{self.sent + i}" for i, _ in enumerate(messages)]
        self.sent += len(names)
        self.waiting += names
        return names

    def pull_messages(self, names):
        if self.busy:
            return []
        answered, self.waiting = self.waiting, []
        return [
            SimpleNamespace(
                metadata=SimpleNamespace(reply_to_message_id=name), has_error=lambda: False
            )
            for name in answered
        ]


@pytest.fixture(autouse=True)
def outside_of_flower(monkeypatch):
    """A Flower message can only be made inside a run."""
    monkeypatch.setattr(room, "Message", lambda content, node, kind, ttl: (node, kind))


FLYING = {"pack": Flight(7, ())}


def looks(probes, count, flying=FLYING):
    return [probes.lost(flying) for _ in range(count)]


def test_a_node_that_works_is_asked_once_and_loses_nothing():
    node = Node()
    assert looks(Probes(node, every=0.0), 50) == [[]] * 50
    assert node.sent == 1


def test_two_answers_from_behind_a_pack_prove_it_lost_and_one_does_not():
    node = Node()
    probes = Probes(node, every=0.0)
    looks(probes, 2)
    node.busy = False
    assert looks(probes, 1) == [[]]
    assert looks(probes, 2)[-1] == ["pack"]


def test_a_pack_that_is_sent_after_the_questions_is_not_judged_by_their_answers():
    node = Node()
    probes = Probes(node, every=0.0)
    looks(probes, 2)
    node.busy = False
    later = {"later": Flight(7, ())}

    assert looks(probes, 1, FLYING | later) == [[]]
    assert looks(probes, 1, later) == [[]]


def test_nobody_is_asked_before_its_time():
    node = Node()
    looks(Probes(node, every=100.0), 20)
    assert node.sent == 0
