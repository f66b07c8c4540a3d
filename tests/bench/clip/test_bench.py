"""The CLIP bench's claims, and that one that was interrupted goes on."""

import pytest

from fedlora.bench import kept
from fedlora.bench.clip import bench
from fedlora.bench.clip.claims import accuracy_claims, cost_claims, over_seeds
from fedlora.bench.clip.training import METHODS, TASKS
from fedlora.results import read
from fedlora.server.observer import Silent

COSTS = [
    {"case": "ViT-B/32, r 8", "rank": 8, "trainable": 1_179_648, "adapter": 1, "full": 100},
    {"case": "ViT-B/32, r 16", "rank": 16, "trainable": 2_359_296, "adapter": 2, "full": 100},
    {"case": "ViT-B/32, r 32", "rank": 32, "trainable": 4_718_592, "adapter": 4, "full": 100},
    {"case": "differences", "disabled": 0.0, "merged": 1e-6},
    {"case": "a wrapped step over plain PEFT's", "ratio": 1.01, "low": 1.0, "high": 1.03},
    {"case": "checkpointing off", "seconds": 1.0, "bytes": 200},
    {"case": "checkpointing on", "seconds": 1.5, "bytes": 100},
    {"case": "all of ViT-B/32", "wall": 60.0},
]


def rows(behind):
    """Federated training is `behind` in accuracy, a little more for each seed."""
    return [
        {
            "task": task, "method": method, "seed": seed, "seconds": 1.0,
            "federated": 0.7 - behind - seed / 100, "centralised": 0.7,
        }
        for task in TASKS for method in METHODS for seed in (0, 1, 2)
    ]  # fmt: skip


def test_the_gap_is_in_points_over_tasks_and_seeds():
    claims = accuracy_claims(rows(0.01))

    assert [claim.what.rpartition(", ")[2] for claim in claims] == list(METHODS[2:5])
    assert all(claim.value == pytest.approx(2) and claim.low < 2 < claim.high for claim in claims)
    assert all(claim.met is False for claim in accuracy_claims(rows(0.02)))
    mean = over_seeds(rows(0.01))[0]
    assert (mean["seeds"], mean["federated"]) == (3, pytest.approx(0.68))
    assert mean["federated low"] < 0.68 < mean["federated high"]


def test_what_a_rank_costs_is_judged_rank_by_rank():
    met = [(claim.id, claim.met) for claim in cost_claims(COSTS)]

    assert met == [
        ("C2", True), ("C2", True), ("C2", False), ("C3", True), ("C3", True),
        ("C4", True), ("C4", True), ("C4", True), ("C4", True), ("C4", True),
    ]  # fmt: skip
    elsewhere = [row | {"bytes": None} if "bytes" in row else row for row in COSTS]
    memory = cost_claims(elsewhere)[4]
    assert memory.met is None
    assert "Linux" in memory.reason


def test_an_interrupted_bench_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path))
    monkeypatch.setattr(kept, "this_commit", lambda: "a" * 40)
    costly, asked = [], []
    monkeypatch.setattr(bench, "_costs", lambda *_: costly.append(1) or COSTS)

    def measured(measure, cases, workers):
        for case in cases:
            if len(asked) == 40:
                asked.append(None)
                raise KeyboardInterrupt
            asked.append(case.name)
            yield case, next(
                row for row in rows(0.01)
                if (row["task"], row["method"], row["seed"]) == (case.task, case.method, case.seed)
            )  # fmt: skip

    monkeypatch.setattr(bench, "measured", measured)
    out = tmp_path / "clip.json"
    with pytest.raises(KeyboardInterrupt):
        bench.bench_clip(out, Silent())
    assert read(out).seeds == (0, 1)

    results = bench.bench_clip(out, Silent())

    assert len(asked) == 41 + len(TASKS) * len(METHODS) * 3 - 40
    assert len({name for name in asked if name}) == len(asked) - 1
    assert results.seconds >= 100
    assert costly == [1]
    assert [claim.id for claim in results.claims][:3] == ["C1"] * 3
    assert not list(tmp_path.glob("bench-*/*"))
