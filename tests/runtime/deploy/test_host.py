"""A host beside a SuperNode's own Runtime API, with messages as a SuperNode stores them."""

import hashlib
import secrets
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run, RunStatus
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory

from fedlora.runtime.deploy import host
from fedlora.runtime.processes import free_ports

SECRET, NODE = secrets.token_bytes(32), 7
RUNNING = RunStatus("running", "", "")
FAB = Fab(hashlib.sha256(b"").hexdigest(), b"", {})


class SuperNode:
    """Flower's, less its connection to a server: messages are stored as it stores them."""

    def __init__(self):
        self.objects = ObjectStoreFactory()
        self.states = NodeStateFactory(objectstore_factory=self.objects)
        self.state = self.states.state()
        self.state.set_node_id(NODE)
        self.state.store_fab(FAB)

    @contextmanager
    def serving(self):
        (port,) = free_ports(1)
        app = create_app(self.states, SECRET)
        server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()

    def receive(self, run_id, text, whole=True):
        """A message of a run; not whole where the run ends before the SuperNode has all of it."""
        told = Run(run_id, "f", "1", FAB.hash_str, {}, *[""] * 4, RUNNING, "", "", None, 0, 0, 0.0)
        told.series_id = run_id
        self.state.store_run(told)
        self.state.set_run_series_context(
            run_id, Context(run_id, NODE, {}, RecordDict(), {}, series_id=run_id)
        )
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run_id, 1, 1  # a server's
        message = Message(RecordDict({"said": ConfigRecord({"text": text})}), NODE, "query.answer")
        message.metadata.__dict__["_message_id"] = message.object_id
        self.state.create_task(TaskType.CLIENT_APP, run_id, fab_hash=FAB.hash_str)
        store = self.objects.store()
        store.preregister(run_id, get_object_tree(message))
        self.state.store_message(message)
        if whole:
            for name, each in get_all_nested_objects(message).items():
                store.put(name, each.deflate())

    def answers(self, count, seconds=20.0):
        """How many answers have come, of so many that are waited for."""
        until, found = time.monotonic() + seconds, []
        while len(found) < count and time.monotonic() < until:
            found += self.state.get_messages_legacy(is_reply=True)
            time.sleep(0.05)
        return len(found)


@pytest.fixture
def heard(monkeypatch):
    texts = []

    def app(message, _context):
        texts.append(message.content["said"]["text"])
        return Message(RecordDict(), reply_to=message)

    monkeypatch.setattr(host, "app", app)
    return texts


@contextmanager
def hosted(address):
    stop = threading.Event()
    thread = threading.Thread(target=host.answer_messages, args=(address, SECRET, stop.is_set))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_messages_are_answered_one_after_another(heard):
    node = SuperNode()
    with node.serving() as address, hosted(address):
        for text in ("one", "two", "three"):
            node.receive(1, text)
            assert node.answers(1) == 1

    assert heard == ["one", "two", "three"]


def test_a_message_that_is_never_whole_does_not_hold_up_the_next(heard, monkeypatch):
    monkeypatch.setattr(host, "_GRACE", 0.5)
    node = SuperNode()
    with node.serving() as address, hosted(address):
        node.receive(1, "lost", whole=False)
        time.sleep(0.5)
        node.receive(2, "next")
        assert node.answers(1) == 1

    assert heard == ["next"]
