"""Accuracy against bytes, on the bench's own federation in small."""

import pytest

from fedlora.bench.comm import cases
from fedlora.bench.comm.curve import Point, at_bytes, bytes_to, curve
from fedlora.errors import FedloraError


def test_a_point_counts_all_that_had_to_travel_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path))
    config = cases.vision(
        lora={"rank": 2, "ranks": None},
        warm_start={"rounds": 3},
        tasks={"splits": {"train": 30, "validation": 8, "test": 10}},
        shards={"per_task": 1},
    )
    points = curve(config, seed=0)

    assert [point.rounds for point in points] == [0, 1, 2]
    assert points[0].up == 0
    # The first round sends no adapter down; each later one sends four.
    assert points[2].down - points[1].down > 10 * points[0].down
    # Rounding to the header's alignment aside, every round sends the same up.
    assert points[2].up - points[1].up == pytest.approx(points[1].up, rel=0.01)
    assert all(0 <= point.value <= 1 and point.payload < point.bytes for point in points)


def test_what_bytes_buy_is_read_off_the_curve():
    points = [Point(0, 0, 10, 5, 0.2), Point(1, 50, 60, 90, 0.6), Point(2, 100, 110, 190, 0.5)]

    assert at_bytes(points, 5) == 0.2
    assert at_bytes(points, 110) == 0.6
    assert at_bytes(points, 1000) == 0.6
    assert bytes_to(points, 0.5) == 110
    assert bytes_to(points, 0.7) is None


def test_a_run_that_keeps_its_scores_to_itself_is_refused():
    with pytest.raises(FedloraError, match=r"warm_start\.score"):
        curve(cases.vision(warm_start={"score": False}), seed=0)


def test_every_case_is_a_configuration():
    for name in cases.CODECS:
        cases.codec(name)
    for name in cases.ONE_RANK:
        assert cases.method(name, None).lora.ranks is None
    for name in cases.MIXED:
        assert cases.method(name, [1, 2, 4]).lora.rank == 4
