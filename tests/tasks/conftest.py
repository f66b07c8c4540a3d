"""Every test of tasks sees a data cache of its own, never the user's."""

import pytest

from tests.tasks import tiny_cache


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    tiny_cache.build(root)
    return root


@pytest.fixture
def cache(tiny, monkeypatch):
    """The tiny cache as $FEDLORA_DATA."""
    monkeypatch.setenv("FEDLORA_DATA", str(tiny))
    return tiny


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """An empty folder as $FEDLORA_DATA."""
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def hub_cache(tmp_path_factory, monkeypatch):
    """A folder of its own for what the datasets library keeps."""
    folder = tmp_path_factory.mktemp("hub")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder)
    return folder
