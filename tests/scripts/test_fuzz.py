"""Fuzzing by coverage is optional, and says what it needs."""

from scripts import fuzz


def test_without_atheris_it_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "find_spec", lambda name: None)
    assert fuzz.main(["message"]) == 2
    assert "make .cache/atheris/.peer" in capsys.readouterr().err
