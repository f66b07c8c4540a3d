"""How far a bank reaches, on the page of a run."""

import shutil

from fedlora.report import reach
from fedlora.report.page import render
from fedlora.report.run_folder import SeedFolder, read


def test_the_page_says_where_the_bank_is_thin_and_who_would_help(finished):
    found = reach.read(SeedFolder(finished / "seed-0", 0), prompts=1)

    assert found is not None
    assert "rank correlation is" in found.caption
    assert found.svg.count("rotation=") >= 10
    page = render(read(finished))
    assert "How far the bank reaches" in page
    assert "Of its own tasks the bank is least sure of “rotation=" in page
    assert "” would help it most." in page


def test_a_bank_of_many_tasks_is_looked_at_evenly(finished, monkeypatch):
    monkeypatch.setattr(reach, "MOST", 4)

    found = reach.read(SeedFolder(finished / "seed-0", 0), prompts=1)

    assert found is not None
    assert found.svg.count("rotation=") == 4


def test_a_bank_too_small_to_tell_and_no_bank_give_no_section(finished, tmp_path, monkeypatch):
    assert reach.read(SeedFolder(tmp_path, 0), prompts=1) is None
    monkeypatch.setattr(reach, "MOST", 2)

    assert reach.read(SeedFolder(finished / "seed-0", 0), prompts=1) is None


def test_without_newcomers_the_bank_alone_is_told(finished, tmp_path):
    shutil.copytree(finished / "seed-0", tmp_path / "seed-0")
    shutil.rmtree(tmp_path / "seed-0" / "newcomers")

    found = reach.read(SeedFolder(tmp_path / "seed-0", 0), prompts=1)

    assert found is not None
    assert found.about.count("“") == 1
