"""Budgets and what was spent of them, on the page, in the terminal and as JSON."""

import json

from fedlora.report import as_json
from tests.report.html_page import page_of
from tests.report.test_terminal import printed

SPENT = [
    {"protects": "examples", "epsilon": 7.914, "delta": 1e-5, "budget": 8.0},
    {"protects": "together", "epsilon": 9.9, "delta": 2e-5, "budget": 10.0},
    {"protects": "clients", "epsilon": 3.2, "delta": 1e-6, "budget": 4.0},
]


def test_what_was_spent_is_told_everywhere(run):
    file = run / "results.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"privacy": SPENT}))

    page, terminal = page_of(run).text, printed(run)

    for text in (page, terminal):
        assert "Privacy of an example in adapters" in text
        assert "epsilon 7.91 of 8 at delta 1e-05" in text
        assert "Privacy of an example in both together" in text
        assert "epsilon 9.9 of 10 at delta 2e-05" in text
        assert "epsilon 3.2 of 4 at delta 1e-06" in text
    assert as_json(run)["privacy"] == SPENT


def test_a_run_without_budgets_says_nothing_of_them(run):
    assert as_json(run)["privacy"] == []
    assert "Privacy" not in printed(run)
