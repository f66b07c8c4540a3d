"""Who attacked, on the page, in the terminal and as JSON."""

import json

from fedlora.report import as_json
from tests.report.html_page import page_of
from tests.report.test_terminal import printed

FOUND = [
    {"seed": seed, "clients": 20, "attackers": [3, 9], "caught": seed, "wronged": 1, "fooled": told}
    for seed, told in ((0, None), (1, 0.25))
]


def test_attackers_of_all_seeds_are_told_everywhere(run):
    file = run / "results.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"attackers": FOUND}))

    for text in (page_of(run).text, " ".join(printed(run).split())):
        assert "Attackers (" in text
        assert "4 of 40 clients; something of 1 of them was kept out or lost, and of 2" in text
        assert "marked examples 25% are taken for the backdoor's target" in text
    assert as_json(run)["attackers"] == FOUND


def test_a_run_in_peace_says_nothing_of_them(run):
    assert as_json(run)["attackers"] == []
    assert "Attackers" not in printed(run)
