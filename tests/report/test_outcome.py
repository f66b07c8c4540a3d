import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from fedlora.report import intervals
from fedlora.report.methods import Needs
from fedlora.report.outcome import lines
from fedlora.report.run_folder import RunFolder, read
from fedlora.report.sentences import comparisons, headline
from tests.report.made_run import make


def winners(run: RunFolder) -> dict[Needs, str]:
    return {line.method.needs: line.method.name for line in lines(run) if line.best}


def test_an_interval_is_that_of_students_t():
    values = np.random.default_rng(0).normal(0.8, 0.1, size=9)

    found = intervals.interval(list(values))

    low, high = stats.t.interval(0.95, 8, loc=values.mean(), scale=stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert found.n == 9


def test_the_best_of_each_group_is_marked(tmp_path):
    run = read(make(tmp_path))

    assert winners(run) == {
        Needs.NOTHING: "generated",
        Needs.EPOCH: "generated_one_epoch",
        Needs.TRAINING: "local",
    }


@pytest.mark.parametrize("rival", ["nearest", "ridge", "mean", "warm", "a_new_generator"])
def test_a_baseline_that_wins_is_marked_as_the_winner(tmp_path, rival):
    run = read(make(tmp_path, closes={"generated": 0.5, rival: 1.4}))

    assert winners(run)[Needs.NOTHING] == rival
    assert "does better: it is ahead by" in comparisons(run, lines(run))[0]


def test_a_base_model_or_a_shuffled_condition_that_wins_is_marked_too(tmp_path):
    harm = dict.fromkeys(("warm", "mean", "nearest", "topk", "ridge", "generated"), -0.5)
    base = read(make(tmp_path / "a", closes={**harm, "shuffled": -0.6}))
    shuffled = read(make(tmp_path / "b", closes={**harm, "shuffled": 0.6}))

    assert winners(base)[Needs.NOTHING] == "base"
    assert winners(shuffled)[Needs.NOTHING] == "shuffled"


def test_lower_is_better_turns_the_winner_and_the_comparison(tmp_path):
    run = read(make(tmp_path, metric="nll"))

    assert winners(run)[Needs.NOTHING] == "generated"
    assert "is behind by" in comparisons(run, lines(run))[0]


def test_a_comparison_is_made_task_by_task(tmp_path):
    run = read(make(tmp_path, seeds=3))
    rows = run.results.rows

    found = intervals.advantage(run.results, "generated", "ridge")

    tasks = sorted({row.task for row in rows})
    mean = {
        (method, task): np.mean([r.value for r in rows if (r.method, r.task) == (method, task)])
        for method in ("generated", "ridge")
        for task in tasks
    }
    ahead = [mean["generated", task] - mean["ridge", task] for task in tasks]
    assert found.n == len(tasks)
    assert found.mean == pytest.approx(np.mean(ahead))


def test_a_difference_that_chance_could_give_is_called_so(tmp_path):
    run = read(make(tmp_path, closes={"generated": 0.9, "ridge": 0.9, "topk": 0.1}))

    assert "which chance alone could give" in comparisons(run, lines(run))[0]


def test_a_generator_that_ignores_its_condition_is_told(tmp_path):
    heeded = read(make(tmp_path / "a"))
    ignored = read(make(tmp_path / "b", closes={"shuffled": 0.93}))

    assert comparisons(heeded, lines(heeded))[1].endswith("its condition matters.")
    assert comparisons(ignored, lines(ignored))[1].endswith("no sign that it listens.")


def test_a_summary_that_is_missing_is_made_from_the_rows(tmp_path):
    run = make(tmp_path)
    results = json.loads((run / "results.json").read_text())
    whole = {line.method.name: line.value for line in lines(read(run))}

    (run / "results.json").write_text(json.dumps(results | {"summary": []}))

    made = {line.method.name: line.value for line in lines(read(run))}
    assert made.keys() == whole.keys()
    for name, value in made.items():
        assert (value.mean, value.low, value.high, value.n) == pytest.approx(
            (whole[name].mean, whole[name].low, whole[name].high, whole[name].n)
        )


def test_generated_adapters_that_do_harm_are_not_said_to_close_the_gap(tmp_path):
    run = read(make(tmp_path, closes={"generated": -0.4}))

    sentence = str(headline(run, lines(run)))

    assert sentence.startswith("Generated adapters fall behind the base by 0.")
    low, high = sentence.split("[")[1].split("]")[0].split(", ")
    assert 0 < float(low) < float(high)


def test_without_a_gap_the_headline_says_what_was_reached(tmp_path):
    run = make(tmp_path)
    results = json.loads((run / "results.json").read_text())
    for line in results["summary"]:
        line["gap"] = None
    for row in results["rows"]:
        row["gap"] = None
    (run / "results.json").write_text(json.dumps(results))
    folder = read(run)

    assert str(headline(folder, lines(folder))).startswith("Generated adapters reach 0.")


def test_a_single_task_has_no_interval(tmp_path: Path):
    run = read(make(tmp_path, tasks=["rotation=10"]))

    assert "[" not in str(headline(run, lines(run)))
    assert str(headline(run, lines(run))).endswith("on one unseen task")
