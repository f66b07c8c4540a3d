"""Which actor answers whom, and what becomes of those who wait: actors are made up, Ray is away."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from fedlora.runtime import ray_backend
from fedlora.runtime.ray_backend import NodesBackend

A, B, C = 11, 12, 13


class Actor:
    """Answers with its own number, once `open` lets it."""

    made: list["Actor"]

    def __init__(self) -> None:
        self.number = len(self.made)
        self.made.append(self)
        self.open, self.dead = threading.Event(), False
        self.open.set()
        self.ready = SimpleNamespace(remote=lambda: lambda: None)
        self.run = SimpleNamespace(remote=lambda *_: self._run)

    def _run(self) -> int:
        self.open.wait()
        if self.dead:
            raise RayActorError
        return self.number

    def die(self) -> None:
        self.dead = True
        self.open.set()


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[NodesBackend]:
    """Two actors, both up, the first of which was up first."""
    Actor.made = []
    made_up = SimpleNamespace(
        remote=lambda **_: lambda _: SimpleNamespace(remote=lambda _: Actor()),
        get=lambda answer, timeout=None: answer(),
        kill=Actor.die,
    )
    monkeypatch.setattr(ray_backend, "ray", made_up)
    made = NodesBackend(2, 1.0, 0.0)
    made.build(lambda: None)
    wait_for(lambda: len(made._idle) == 2)
    made._idle.sort(key=lambda actor: actor.number)
    yield made
    made.terminate()


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def answer(backend: NodesBackend, node: int) -> Any:
    """The number of the actor that a node's message went to."""
    metadata = SimpleNamespace(dst_node_id=node, created_at=time.time(), ttl=60.0)
    return backend.process_message(SimpleNamespace(metadata=metadata), None)


def test_a_node_is_answered_by_the_same_actor_in_every_round(backend):
    first = {node: answer(backend, node) for node in (A, B)}
    assert set(first.values()) == {0, 1}
    for _ in range(3):
        assert {node: answer(backend, node) for node in (B, B, A)} == first


def test_a_node_whose_actor_is_busy_takes_another_and_comes_back(backend):
    home, other = answer(backend, A), answer(backend, B)
    Actor.made[home].open.clear()
    with ThreadPoolExecutor() as pool:
        long = pool.submit(answer, backend, A)
        wait_for(lambda: len(backend._idle) == 1)
        assert answer(backend, A) == other
        Actor.made[home].open.set()
        assert long.result(10) == home
    assert (answer(backend, A), answer(backend, B), answer(backend, A)) == (home, other, home)


def test_more_nodes_than_actors_share_them(backend):
    assert {answer(backend, node) for node in (A, B, C)} == {0, 1}


def test_the_nodes_of_a_lost_actor_find_others_and_keep_them(backend):
    home, other, shared = (answer(backend, node) for node in (A, B, C))
    assert shared == home
    Actor.made[home].die()
    with pytest.raises(ConnectionError, match="its process died"):
        answer(backend, A)
    wait_for(lambda: len(backend._idle) == 2)
    assert (answer(backend, A), answer(backend, B)) == (2, other)
    assert answer(backend, C) == answer(backend, C)


def test_the_end_of_a_run_sends_everybody_away(backend):
    for actor in Actor.made:
        actor.open.clear()
    with ThreadPoolExecutor() as pool:
        working = [pool.submit(answer, backend, node) for node in (A, B)]
        wait_for(lambda: not backend._idle)
        waiting = [pool.submit(answer, backend, node) for node in (A, B, C)]
        backend.terminate()
        for each in working:
            with pytest.raises(ConnectionError, match="its process died"):
                each.result(10)
        for each in waiting:
            with pytest.raises(ConnectionError, match="the run is over"):
                each.result(10)
    with pytest.raises(ConnectionError, match="the run is over"):
        answer(backend, A)
    assert len(Actor.made) == 2
