"""Bytes beside FedAvg's, and the speed of generators."""

import time
from dataclasses import replace
from typing import Any

import psutil
import pytest

from fedlora.bench.generator import speed, traffic
from fedlora.bench.generator.families import DENSE
from tests.bench.generator.made import SPEC, case, newcomer


def test_fedavg_that_never_gets_there_is_a_lower_bound():
    def point(rounds: int, value: float) -> dict[str, Any]:
        of_others = dict.fromkeys(("payload", "fit", "slowest_up", "slowest_down"), 1)
        return {"rounds": rounds, "up": 100.0, "down": 200.0, "value": value, **of_others}

    served = {1: case(newcomer(kriging=0.4)), 2: case(newcomer(kriging=0.9))}
    rivals = {seed: {"points": [point(0, 0.1), point(1, 0.5)], "bank": 100} for seed in served}
    averaged, ours, *stored = traffic.byte_claims(served, rivals, "any")

    assert averaged.value == pytest.approx(3)
    assert "1 of 2 banks never got there" in averaged.what
    assert "lower bound" not in ours.what
    assert [claim.value for claim in stored] == [0.5] * len(traffic.STORED)
    assert [row["rounds"] for row in traffic.fedavg_rows(rivals, "any")] == [0, 1]


def test_fedavg_is_counted_for_one_newcomer_beside_the_bank_on_the_disk():
    splits = {"train": 16, "validation": 2, "test": 16}
    tiny = replace(DENSE, tasks={**DENSE.tasks, "bank": 4, "held_out": 2, "splits": splits})
    found = traffic.measure(7, replace(tiny, rounds=1))
    first, second = found["points"]
    values = 4 * 8192  # float32
    assert first["payload"] == 0 < values < second["up"] < 1.05 * values
    assert 4 * values < found["bank"] < 8 * values  # task vectors and records beside adapters


def test_speed_is_measured_on_a_bank_from_the_disk():
    began = time.perf_counter()
    row = speed.measure("topk", adapters=6, spec=SPEC)
    taken = time.perf_counter() - began
    assert (row["adapters"], row["values"]) == (6, SPEC.size)
    assert 0 < row["seconds"] < taken
    assert 0 < row["milliseconds"] < 2000 * taken / speed.TURNS  # a median, of TURNS in `taken`
    now = psutil.Process().memory_info().rss / 2**30
    assert 0.9 * now < row["peak GiB"] < psutil.virtual_memory().total / 2**30


def test_claims_of_speed_are_in_the_units_that_they_say():
    row = {"generator": "topk", "adapters": 6, "values": 9}
    row |= {"seconds": 120.0, "peak GiB": 1.5, "milliseconds": 7.0}
    claims = [(c.value, c.target, c.unit) for c in speed.speed_claims(row)]
    assert claims == [(2.0, 5.0, "minutes"), (1.5, 2.0, "GiB"), (7.0, 50.0, "ms")]
