"""What the tables of the generator bench tell."""

import pytest

from fedlora.bench.generator import ranks
from fedlora.bench.generator.bench import family_part
from fedlora.bench.generator.families import DENSE
from fedlora.results import write_results
from tests.bench.generator.made import case, newcomer


def test_a_table_tells_the_best_retrieval_and_two_that_are_named():
    rows = [newcomer("a", **{"top-16": 0.5, "top-4, sharp after grown": 0.4})]
    found, _ = family_part(DENSE, {1: case(*rows)})
    told = {row["method"] for row in found if row["table"] == "methods"}
    named = {"top-k chosen on the bank", "top-1", "top-3", "top-16", "top-4, sharp after grown"}
    assert {name for name in told if name.startswith("top-") and " at " not in name} >= named
    assert "top-8" not in told
    assert "top-8 after grown" not in told


def test_the_share_that_the_guard_calls_foreign_is_told_by_range():
    rows = [newcomer("a"), newcomer("b"), newcomer("c") | {"inside": False}]
    found, _ = family_part(DENSE, {1: case(*rows)})
    guard = {row["where"]: row for row in found if row["table"] == "guard"}
    assert (guard["inside"]["newcomers"], guard["inside"]["foreign"]) == (2, 0.5)
    assert (guard["outside"]["newcomers"], guard["outside"]["foreign"]) == (1, 0.0)


def test_the_rows_of_a_family_can_be_written(tmp_path):
    point = {"curve": "bank", "method": "kriging", "at": 8, "values": [0.35, 0.6]}
    cases = {
        seed: case(newcomer("a", kriging=0.6), newcomer("b", kriging=0.35), points=[point])
        for seed in (1, 2)
    }
    rows, claims = family_part(DENSE, cases)
    written = write_results(tmp_path / "generator.json", "generator", "x", rows, claims, [1], 1)

    (method,) = [r for r in written.rows if r.get("method") == "kriging" and "where" in r]
    assert method["gap"] == method["worst bank"] == pytest.approx(0.75)
    assert (method["tasks"], method["nearest"], method["norm"]) == (2, 0.8, None)
    (curve,) = [r for r in written.rows if r["table"] == "curve" and r["curve"] == "bank"]
    assert curve["gap"] == pytest.approx((0.25 + 0.5) / 1.0)
    labelled = {r["at"] for r in written.rows if r["table"] == "curve" and r["curve"] == "labels"}
    assert labelled == {0, *DENSE.labels}


def test_every_method_on_known_tasks_has_its_own_column_of_means():
    reached = {"base": (0.1, 0.3), "trained": (0.8, 0.9), "generated": (0.6, 0.8)}
    reached["shuffled"] = (0.3, 0.5)
    facts = {"rank": 2, "generator": "cvae", "learned from": ranks.ALL}
    rows = [
        {"task": task, "method": method, "accuracy": value, **facts}
        for method, pair in reached.items()
        for task, value in zip("ab", pair, strict=True)
    ]
    means = {"base": 0.2, "trained": 0.85, "generated": 0.7, "shuffled": 0.4}
    expected = {"table": "ranks", **facts, **means}
    assert ranks.rank_rows(rows) == [pytest.approx(expected)]
