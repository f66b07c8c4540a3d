"""Which parts of a bench are measured."""

import pytest

from fedlora.bench.chosen import chosen
from fedlora.bench.deploy.bench import bench_deploy
from fedlora.errors import FedloraError
from fedlora.server.observer import Silent


def test_all_parts_or_those_that_are_named_in_their_order():
    assert chosen([], ("a", "b", "c")) == ["a", "b", "c"]
    assert chosen(["c", "a"], {"a": 1, "b": 2, "c": 3}) == ["c", "a"]


def test_a_part_that_no_bench_has_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(FedloraError, match="--only fautls: no such part; did you mean 'faults'"):
        bench_deploy(tmp_path / "deploy.json", ["fautls"], Silent())
    assert not (tmp_path / "deploy.json").exists()
