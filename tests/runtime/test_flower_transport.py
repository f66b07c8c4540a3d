import time
from collections import Counter

import pytest

from fedlora.errors import FedloraError
from fedlora.runtime import carriers, pack
from fedlora.runtime.flower_transport import FlowerTransport
from fedlora.wire.exchange import Request
from tests.runtime.echo import ask, small_config, start
from tests.runtime.threads import ThreadsBackend, transport_over_threads


def test_each_client_answers_its_own_frame():
    config = small_config(nodes=3)
    frames = [f"frame{i}" for i in range(20)]
    with transport_over_threads(config) as transport:
        replies = ask(transport, frames)

    asked = [Request(client, frame.encode()) for client, frame in enumerate(frames)]
    expected = start(config.model_dump_json(), 7)(asked)
    assert [reply for _, reply in sorted(replies.items())] == expected


def test_a_client_that_raises_costs_its_own_answer_only():
    with transport_over_threads(small_config()) as transport:
        replies = ask(transport, ["a", "raise boom", "b", "c"])

    assert replies[1].frame is None
    assert replies[1].error == "ValueError: boom"
    assert all(replies[client].frame for client in (0, 2, 3))


def test_replies_are_given_as_they_come():
    with transport_over_threads(small_config()) as transport:
        requests = [Request(0, b"sleep 2"), Request(1, b"quick")]
        began = time.monotonic()
        first = next(iter(transport.exchange(requests)))
        waited = time.monotonic() - began

    assert first.client == 1
    assert waited < 1.5


def test_what_comes_too_late_is_an_error_and_the_round_ends():
    with transport_over_threads(small_config(timeout=1.0)) as transport:
        began = time.monotonic()
        replies = ask(transport, ["a", "sleep 6", "b"])
        waited = time.monotonic() - began

    assert waited < 5
    assert [bool(replies[client].frame) for client in range(3)] == [True, False, True]
    assert replies[1].error == "no answer within 1 s (rounds.timeout)"
    assert not replies[1].absent  # late, and would be late again


def clients_of(message):
    return [request.client for request in pack.read_requests(message.content).requests]


class LosesFirst(ThreadsBackend):
    """A pack is lost as long as one of its clients was lost fewer than `times` times."""

    def __init__(self, times):
        super().__init__()
        self.times = times
        self.lost = Counter()

    def process_message(self, message, context):
        if message.metadata.message_type == "query.answer":
            clients = clients_of(message)
            if min(self.lost[client] for client in clients) < self.times:
                self.lost.update(clients)
                raise ConnectionError("the wire was cut")
        return super().process_message(message, context)


def test_a_lost_pack_is_asked_again():
    with transport_over_threads(small_config(), None, LosesFirst(1)) as transport:
        replies = ask(transport, list("abcdef"))

    assert all(reply.frame for reply in replies.values())


class Witness(LosesFirst):
    """Knows who was answered together."""

    def __init__(self, times, together):
        super().__init__(times)
        self.together = together
        self.groups = set()

    def process_message(self, message, context):
        answered = super().process_message(message, context)
        if message.metadata.message_type == "query.answer":
            clients = clients_of(message)
            starts = range(0, len(clients), self.together)
            self.groups |= {tuple(clients[at : at + self.together]) for at in starts}
        return answered


def test_those_who_train_together_do_so_again_when_their_pack_is_lost():
    config = small_config()
    runtime = config.runtime.model_copy(update={"training": "batched", "group": 3})
    config = config.model_copy(update={"runtime": runtime})
    undisturbed, disturbed = Witness(0, 3), Witness(1, 3)
    for backend in (undisturbed, disturbed):
        with transport_over_threads(config, None, backend) as transport:
            replies = ask(transport, ["a"] * 16)
        assert all(reply.frame for reply in replies.values())

    assert set(disturbed.lost.values()) == {1}
    assert len(disturbed.lost) == 16
    assert disturbed.groups == undisturbed.groups
    assert {len(group) for group in undisturbed.groups} == {3, 2}


def test_a_client_lost_twice_is_an_error():
    with transport_over_threads(small_config(), None, LosesFirst(1000)) as transport:
        replies = ask(transport, list("abcdef"))

    assert {reply.error for reply in replies.values()} == {"its node was lost: the wire was cut"}
    assert all(reply.absent for reply in replies.values())


def test_one_pack_a_node_when_no_seconds_are_given():
    backend = ThreadsBackend()
    with transport_over_threads(small_config(nodes=2), None, backend) as transport:
        before = backend.messages
        ask(transport, ["a"] * 30)

    assert backend.messages - before == 2


def test_too_few_nodes_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(carriers, "PATIENCE", 1.0)
    config = small_config(nodes=2)
    greedy = config.model_copy(update={"runtime": config.runtime.model_copy(update={"nodes": 3})})
    with (
        transport_over_threads(config) as transport,
        pytest.raises(FedloraError, match=r"runtime.nodes: 3 expected, 2 answered"),
    ):
        FlowerTransport(transport._carriers, greedy, 0, None)


def test_an_engine_that_fails_ends_the_story():
    class Broken(ThreadsBackend):
        def build(self, app_fn):
            raise OSError("no room")

    with (
        pytest.raises(RuntimeError, match="engine stopped"),
        transport_over_threads(small_config(), backend=Broken()),
    ):
        pass


def test_the_story_keeps_its_own_exception():
    with pytest.raises(FedloraError, match=r"^mine$"), transport_over_threads(small_config()):
        raise FedloraError("mine")


def test_an_exchange_that_timed_out_leaves_nothing_to_the_next():
    with transport_over_threads(small_config(timeout=0.5)) as transport:
        ask(transport, ["sleep 1"] * 2)
        time.sleep(1.0)
        replies = ask(transport, ["a", "b"])

    assert [replies[0].error, replies[1].error] == ["", ""]
