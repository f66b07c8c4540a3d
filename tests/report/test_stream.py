"""The page of a continual run, finished and not."""

import json

import pytest

from fedlora import report

LEAK = {"mean": 2.29e-8, "low": 1e-8, "high": 3.1e-8, "n": 2}


@pytest.fixture
def stream_run(tmp_path):
    """A finished run of two seeds and three tasks, the second named like markup."""
    folder = tmp_path / "stream_20260101_000000"
    (folder).mkdir()
    (folder / "config.yaml").write_text(
        "name: stream\ncontinual: {method: {name: inflora}, noise: {epsilon: 8.0, delta: 1.0e-5}}\n"
    )
    matrix = [[0.9, None, None], [0.8, 0.9, None], [0.7, 0.85, 0.95]]
    steps = [
        {
            "within": {"test": row},
            "among": {"test": row},
            "memory": {"blocks.0.k_proj": 3 + step},
            "width": {"blocks.0.k_proj": 10},
        }
        for step, row in enumerate(matrix)
    ]
    for seed in (0, 1):
        place = folder / f"seed-{seed}"
        place.mkdir()
        told = {"tasks": ["0+1", "<b>2</b>", "4+5"], "steps": steps}
        (place / "stream.json").write_text(json.dumps(told))
    mean = {"mean": 0.833, "low": 0.8, "high": 0.866, "n": 2}
    keys = [f"{r}_{m}" for r in ("within", "among") for m in ("final", "averaged", "forgetting",
            "backward")]  # fmt: skip
    results = {
        "kind": "stream",
        "finished": True,
        "stream": {"test": dict.fromkeys(keys, mean) | {"leak": LEAK}},
        "bytes": {"up": 10, "down": 20},
    }
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def test_the_page_shows_matrices_curves_and_the_table(stream_run):
    page = report.build(stream_run).read_text()
    assert "inflora ends at" in page
    assert "Final accuracy" in page
    assert page.count("<svg") >= 6
    assert "The shades run from 70%, violet, to 95%, yellow, in both." in page
    assert "1, blocks.0.k_proj: 3" in page
    assert "Method</dt><dd>inflora" in page
    assert "over the whole run</dt><dd>epsilon 8, delta 1e-05" in page
    assert "Warm-start rounds" not in page
    assert "&lt;b&gt;2&lt;/b&gt;" in page
    assert "<b>2</b>" not in page


def test_the_terminal_says_the_same(stream_run):
    found = report.as_json(stream_run)
    assert found["stream"]["test"]["within_final"]["mean"] == 0.833
    assert report.table(stream_run).row_count == 4
    assert "2.29e-08 [1e-08, 3.1e-08]" in report.table(stream_run).caption


def test_a_stream_that_has_just_begun_is_a_page_too(stream_run):
    (stream_run / "results.json").unlink()
    for seed in (0, 1):
        (stream_run / f"seed-{seed}" / "stream.json").unlink()
    page = report.build(stream_run).read_text()
    assert "No stream has been finished yet" in page
    assert "in progress or was interrupted" in page
