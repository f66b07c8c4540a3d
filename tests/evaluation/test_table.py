"""The table says what was measured: gaps, directions, intervals over tasks."""

import pytest
from scipy import stats

from fedlora.evaluation.table import interval, rows, summarise


def test_the_gap_is_zero_at_base_and_one_at_local_in_both_directions():
    accuracy = rows(0, "t", 1, {"base": 0.2, "local": 0.7, "generated": 0.6}, True)
    nll = rows(0, "t", 1, {"base": 3.0, "local": 2.5, "generated": 2.6}, False)
    for table in (accuracy, nll):
        gaps = {row.method: row.gap for row in table}
        assert gaps["base"] == pytest.approx(0)
        assert gaps["local"] == pytest.approx(1)
        assert gaps["generated"] == pytest.approx(0.8)


def test_a_task_that_local_training_does_not_improve_has_no_gap():
    table = rows(0, "t", 1, {"base": 0.70, "local": 0.71, "generated": 0.5}, True)
    assert all(row.gap is None for row in table)


def test_seeds_of_one_task_count_once():
    table = [
        row
        for seed in range(3)
        for task, value in (("a", 0.5), ("b", 0.9))
        for row in rows(seed, task, 0, {"base": 0.1, "local": value}, True)
    ]
    local = next(s for s in summarise(table) if s.method == "local")
    assert local.value.n == 2
    assert local.value.mean == pytest.approx(0.7)


def test_intervals_are_those_of_student():
    values = [0.1, 0.4, 0.35, 0.8]
    found = interval(values)
    mean, error = sum(values) / 4, stats.sem(values)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 3, mean, error))
