import shutil
from pathlib import Path

import pytest

from tests.report.made_run import make


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with everything a run leaves behind; not to be changed."""
    return make(tmp_path_factory.mktemp("finished"), folders=True)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed at will."""
    return Path(shutil.copytree(finished, tmp_path / finished.name))
