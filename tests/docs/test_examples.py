"""The pages do what they show."""

import pytest

from tests.docs.examples import PAGES, ROOT, blocks

# The examples of CONTRIBUTING.md are files of the package and have a test of their own.
RUN = [page for page in PAGES if page.name != "CONTRIBUTING.md" and blocks(page, "python")]


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        # empty lines in front make a traceback name the line of the page
        exec(compile("\n" * block.line + block.code, str(page), "exec"), names)
