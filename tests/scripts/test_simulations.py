"""Every simulation says what it does, and refuses what it does not know before it runs anything."""

import runpy
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[2] / "simulations").glob("*.py"))


def ended(file, monkeypatch, *arguments):
    """The exit status of a simulation that does not come to run."""
    monkeypatch.setattr("sys.argv", [str(file), *arguments])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(file), run_name="__main__")
    return caught.value.code


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_help_is_one_sentence_and_an_unknown_option_is_refused(file, monkeypatch, capsys):
    assert ended(file, monkeypatch, "--help") == 0
    assert file.read_text().split("\n")[0].strip('"').split()[0] in capsys.readouterr().out
    assert ended(file, monkeypatch, "--nosuch") == 2


def test_an_unknown_attack_and_a_folder_that_is_no_run_are_refused(monkeypatch, capsys):
    by_name = {file.stem: file for file in FILES}
    assert ended(by_name["poisoning"], monkeypatch, "nosuch") == 2
    assert "sign_flip" in capsys.readouterr().err
    assert ended(by_name["newcomers"], monkeypatch, "/nowhere") == 2
    assert "not a run folder" in capsys.readouterr().err
