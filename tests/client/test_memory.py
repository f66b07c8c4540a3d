"""What a client holds on to."""

import os
import time

import pytest
import torch

from fedlora import cache
from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.client.memory import Memory
from fedlora.errors import FedloraError

SPEC = AdapterSpec("b", (LayerSpec("a", 6, 5, 2),), 4.0)
RUN = "0123456789abcdef"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path))


def draw(rank: int) -> LoraAdapter:
    spec = SPEC.with_rank(rank)
    return LoraAdapter.from_flat(spec, torch.randn(spec.size))


def test_another_process_finds_what_was_kept_and_old_rounds_go():
    kept = {"fold": draw(4), "trained": draw(2)}
    Memory(RUN, 3).keep(1, {}, since=0)
    Memory(RUN, 3).keep(2, kept, since=1)
    Memory(RUN, 3).keep(4, {}, since=2)
    found = Memory(RUN, 3).recall(2)

    assert {name: adapter.digest() for name, adapter in found.items()} == {
        name: adapter.digest() for name, adapter in kept.items()
    }
    with pytest.raises(FedloraError, match="joins anew"):
        Memory(RUN, 3).recall(1)
    with pytest.raises(FedloraError, match="joins anew"):
        Memory(RUN, 2).recall(2)


def test_a_damaged_file_is_as_good_as_none(tmp_path):
    Memory(RUN, 0).keep(1, {"trained": draw(2)}, since=0)
    (file,) = tmp_path.rglob("1.safetensors")
    file.write_bytes(file.read_bytes()[:-3])

    with pytest.raises(FedloraError, match="gone: what it kept of round 1 in"):
        Memory(RUN, 0).recall(1)


def test_a_run_that_was_left_alone_is_forgotten(tmp_path):
    Memory(RUN, 0).keep(1, {}, since=0)
    long_ago = time.time() - 2 * cache.FORGET_AFTER
    run = tmp_path / "memory" / RUN
    for folder in (*run.iterdir(), run):
        os.utime(folder, (long_ago, long_ago))
    (tmp_path / "memory" / ".DS_Store").touch()
    Memory("f" * 16, 0).keep(1, {}, since=0)

    assert not (tmp_path / "memory" / RUN).exists()


@pytest.mark.parametrize("run", ["../../etc", "", "0123", "None"])
def test_the_server_cannot_choose_where_files_go(run):
    with pytest.raises(FedloraError, match="no name of a run"):
        Memory(run, 0)
