"""Simulations say what they do, refuse what they do not know, and run from any folder."""

import json
import runpy
from pathlib import Path

import pytest

import fedlora
from fedlora import config as configuration
from tests.conftest import merged

FILES = sorted((Path(__file__).parents[2] / "simulations").glob("*.py"))
BY_NAME = {file.stem: file for file in FILES}
SPLITS = {"train": 24, "validation": 10, "test": 20}
TINY = [
    "tasks.bank=10",
    "tasks.held_out=2",
    *(f"tasks.splits.{split}={examples}" for split, examples in SPLITS.items()),
    "warm_start.rounds=1",
    "finetune.epochs=1",
    "task_vector.samples=8",
    "evaluation.few_labels=8",
    "adoption.policy={name: given}",
]


def ended(file, monkeypatch, *arguments):
    """The exit status of a simulation that does not come to run."""
    monkeypatch.setattr("sys.argv", [str(file), *arguments])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(file), run_name="__main__")
    return caught.value.code


def run_elsewhere(name, monkeypatch, folder, *arguments):
    """A simulation to its end, with another current folder than that of the repository."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", [name, *arguments])
    runpy.run_path(str(BY_NAME[name]), run_name="__main__")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_help_is_one_sentence_and_an_unknown_option_is_refused(file, monkeypatch, capsys):
    assert ended(file, monkeypatch, "--help") == 0
    assert file.read_text().split("\n")[0].strip('"').split()[0] in capsys.readouterr().out
    assert ended(file, monkeypatch, "--nosuch") == 2


def test_an_unknown_attack_and_a_folder_that_is_no_run_are_refused(monkeypatch, capsys):
    assert ended(BY_NAME["poisoning"], monkeypatch, "nosuch") == 2
    assert "sign_flip" in capsys.readouterr().err
    assert ended(BY_NAME["newcomers"], monkeypatch, "/nowhere") == 2
    assert "not a run folder" in capsys.readouterr().err


def test_the_scale_of_a_round_is_measured(monkeypatch, tmp_path, capsys):
    small = ["tasks.held_out=1", "tasks.splits.test=8", "runtime.training=batched"]
    run_elsewhere("scale", monkeypatch, tmp_path, "--clients", "5", "10", "--set", *small)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]

    assert {"5", "10"} <= {line[1] for line in lines if len(line) > 2}


def test_growth_runs_beside_averaging(monkeypatch, tmp_path, capsys):
    load = fedlora.load

    def tiny(file, overrides):
        fewer = ["growth.rounds=1"] if "growth.rounds=24" in overrides else []
        return load(file, [*overrides, *TINY, *fewer])

    monkeypatch.setattr(fedlora, "load", tiny)
    run_elsewhere("bank_growth", monkeypatch, tmp_path, "both")

    assert capsys.readouterr().out.count("Generated adapters reach") == 2
    averaged, grown = (
        {
            row["method"]
            for row in json.loads((tmp_path / way / "results.json").read_text())["summary"]
        }
        for way in ("both/averaged", "both/grown")
    )
    assert grown - averaged == {"grown"}


def test_the_pipeline_makes_an_adapter_for_every_newcomer(monkeypatch, tmp_path, capsys):
    from_dict = configuration.from_dict
    smaller = {
        "tasks": {"bank": 4, "held_out": 2, "splits": SPLITS},
        "warm_start": {"rounds": 1},
        "finetune": {"epochs": 2},
        "task_vector": {"samples": 8},
        "generator": {"components": 2, "condition_components": 2, "training": {"epochs": 2}},
    }
    monkeypatch.setattr(
        configuration, "from_dict", lambda raw, origin: from_dict(merged(raw, smaller), origin)
    )
    run_elsewhere("icm_pipeline", monkeypatch, tmp_path)

    bank, _, columns, *newcomers = capsys.readouterr().out.splitlines()
    assert bank == "bank: 8 adapters of 4 tasks"
    assert columns.split() == ["task", "base", "near", "made", "own"]
    assert len(newcomers) == 2
    assert all(0 <= float(value) <= 1 for line in newcomers for value in line.split()[-4:])
