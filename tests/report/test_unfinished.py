import json
import shutil

import pytest

from tests.report.html_page import page_of


@pytest.mark.parametrize(
    "missing",
    [
        ["results.json", "seed-0/metrics.jsonl", "seed-1/metrics.jsonl"],
        ["seed-0/ledger.jsonl", "seed-1/ledger.jsonl", "seed-0/reconstruction.json"],
        ["seed-0/bank", "seed-0/newcomers", "seed-1/reconstruction.json"],
        ["seed-0", "seed-1"],
        ["config.yaml", "results.json", "seed-1"],
    ],
    ids="+".join,
)
def test_a_run_that_lacks_files_still_has_a_page(run, missing):
    for name in missing:
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    page = page_of(run)

    unfinished = "This run is in progress or was interrupted" in page.text
    assert unfinished == ("results.json" in missing)
    assert "The run" in page.text


def test_a_run_in_progress_says_where_it_is_and_how_to_go_on(run):
    (run / "results.json").unlink()
    for seed in ("seed-0", "seed-1"):
        lines = (run / seed / "metrics.jsonl").read_text().splitlines()
        rounds = [line for line in lines if '"warm_start"' in line][:60]
        (run / seed / "metrics.jsonl").write_text("\n".join([*rounds, rounds[0][:30]]))

    page = page_of(run)

    assert "No generated adapter has been evaluated yet" in page.text
    assert "interrupted in the phase “warm start”, step 6" in page.text
    assert f"fedlora run --resume {run.name}" in page.text
    assert "Warm start" in page.text


def test_results_so_far_are_not_called_final(run):
    results = json.loads((run / "results.json").read_text())
    results |= {"finished": False, "summary": [], "rows": results["rows"][:60]}
    (run / "results.json").write_text(json.dumps(results))

    assert "So far, generated adapters close" in page_of(run).text


def test_the_tables_of_finished_seeds_count_before_the_run_is_done(run):
    results = json.loads((run / "results.json").read_text())
    (run / "results.json").unlink()
    rows = [row for row in results["rows"] if row["seed"] == 0]
    table = {"metric": "accuracy", "rows": rows}
    (run / "seed-0" / "table.json").write_text(json.dumps(table))
    lost = {"phase": "finetune", "round": 0, "client": 3, "reason": "no answer"}
    (run / "seed-0" / "lost.jsonl").write_text(json.dumps(lost) + "\n")

    page = page_of(run)

    assert "So far, generated adapters close" in page.text
    assert "This run is in progress or was interrupted" in page.text
    assert "1 lost contribution." in page.text
    assert "bank=3" in page.text
