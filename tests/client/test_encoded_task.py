"""Clients that share a task share its encoding, and memory stays within the budget."""

import weakref
from types import SimpleNamespace

import numpy as np
import torch

from fedlora.client.client import Client
from fedlora.client.encoded_task import TaskCache
from tests.conftest import small_config

SHARDED = {"shards": {"per_task": 3, "min_examples": 4}}


def test_a_task_is_loaded_once_for_all_its_clients(monkeypatch):
    client = Client(small_config(**SHARDED), 0)
    loaded, load = [], client.family.load
    monkeypatch.setattr(client.family, "load", lambda name: (loaded.append(name), load(name))[1])

    desks = [client.desk(number) for number in range(6)]

    assert loaded == [desks[0].seat.task, desks[3].seat.task]
    assert desks[0].test is desks[2].test


def test_shards_of_a_task_are_disjoint_and_cover_it():
    client = Client(small_config(**SHARDED), 0)
    whole = Client(small_config(), 0).desk(0).train["pixel_values"]

    parts = torch.cat([client.desk(number).train["pixel_values"] for number in range(3)])

    assert len(parts) == len(whole)
    order, other = (np.lexsort(p.flatten(1).numpy().T) for p in (parts, whole))
    assert torch.equal(parts[order], whole[other])


def test_rounds_over_more_tasks_than_fit_encode_only_those_beyond_the_budget():
    cache, made = TaskCache(budget=100), []

    def get(name: str, size: int = 40) -> None:
        cache.get(name, lambda: made.append(name) or SimpleNamespace(nbytes=size))

    for _ in range(3):
        for name in "abcd":
            for _ in range(2):  # clients of one task follow each other
                get(name)
    assert "".join(made) == "abcd" + "cd" + "cd"

    get("small enough", 20)
    get("larger than the budget", 1000)
    get("larger than the budget", 1000)
    get("small enough", 20)
    assert made[8:] == ["small enough", "larger than the budget"]


class Encoded(SimpleNamespace):
    """Of a size alone; a SimpleNamespace itself has no weak references."""


def test_a_task_without_room_is_let_go_before_the_next_is_encoded():
    cache = TaskCache(budget=0)
    first = weakref.ref(cache.get("a", lambda: Encoded(nbytes=1)))

    second = cache.get("b", lambda: Encoded(nbytes=1, beside=first()))

    assert second.beside is None
