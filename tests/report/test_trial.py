"""The choice of who serves, and its evidence, in the report."""

import json
from pathlib import Path

import pytest

from fedlora.errors import FedloraError
from fedlora.report.results import Results
from fedlora.report.run_folder import RunFolder, SeedFolder
from fedlora.report.trial import choices


def run(folder: Path, *trials: object) -> RunFolder:
    seeds = []
    for number, trial in enumerate(trials):
        path = folder / f"seed-{number}"
        path.mkdir()
        if trial is not None:
            (path / "trial.json").write_text(json.dumps(trial))
        seeds.append(SeedFolder(path, number))
    return RunFolder(folder, "", Results(), tuple(seeds))


def test_who_serves_is_said_with_the_error_of_every_method(tmp_path: Path) -> None:
    apart = {"topk": -0.4, "generated": 0.55}
    (said,) = choices(run(tmp_path, {"chosen": "topk", "apart": apart, "errors": {}}))
    assert "chose “Top-k mixture”" in said
    assert "“Generated” 0.550, “Top-k mixture” −0.400" in said


def test_each_seed_chooses_for_itself_and_none_without_a_trial(tmp_path: Path) -> None:
    trial = {"chosen": "ridge", "apart": {"ridge": 0.2, "topk": None}}
    said = choices(run(tmp_path, trial, None, trial))
    assert [("seed 0" in s, "seed 2" in s) for s in said] == [(True, False), (False, True)]


def test_a_damaged_trial_is_named(tmp_path: Path) -> None:
    with pytest.raises(FedloraError, match="not a trial"):
        choices(run(tmp_path, ["topk"]))
