"""Clients that share a task share its encoding, and memory stays within the budget."""

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


def test_the_cache_forgets_the_least_recently_used_beyond_its_budget():
    cache, made = TaskCache(budget=100), []

    def get(name: str, size: int) -> None:
        cache.get(name, lambda: made.append(name) or SimpleNamespace(nbytes=size))

    for name, size in [("a", 40), ("b", 40), ("a", 40), ("c", 40), ("a", 40), ("b", 40)]:
        get(name, size)
    assert made == ["a", "b", "c", "b"]

    get("larger than the budget", 1000)
    get("larger than the budget", 1000)
    assert made[4:] == ["larger than the budget"]
