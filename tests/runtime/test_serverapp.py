import sys
from pathlib import Path

import pytest

from fedlora.config import dump
from fedlora.errors import FedloraError
from fedlora.runtime.serverapp import open_run
from tests.runtime.tiny_run import tiny_run


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def open_with(simulated=True, **run_config):
    return open_run({"config": "", "overrides": "", "folder": ""} | run_config, simulated)


def test_a_path_is_found_in_the_bundle(tmp_path, monkeypatch):
    (tmp_path / "bundle" / "configs").mkdir(parents=True)
    (tmp_path / "bundle" / "configs" / "mine.yaml").write_text(dump(tiny_run()))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "bundle"), *sys.path])

    config, folder = open_with(config="configs/mine.yaml", overrides="lora.rank=3 seeds=[1,2]")

    assert (config.lora.rank, config.seeds) == (3, (1, 2))
    assert folder.is_absolute()
    assert folder.parent == tmp_path / "runs"


def test_a_configuration_comes_whole_as_json():
    config, _ = open_with(config=tiny_run().model_dump_json())

    assert config == tiny_run()


def test_a_run_that_was_begun_goes_on_with_its_own_configuration():
    _, folder = open_with(config=tiny_run().model_dump_json())

    assert open_with(config="configs/quickstart.yaml", folder=str(folder)) == (tiny_run(), folder)


@pytest.mark.parametrize(
    ("run_config", "words"),
    [
        ({"config": "nowhere.yaml"}, r"nowhere\.yaml: no such file"),
        (
            {"config": '{"name": "x", "bakbone": {}}'},
            "run config: bakbone: unknown key; did you mean 'backbone'",
        ),
        ({"folder": "nowhere"}, "nowhere: not a run folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run_config, words):
    with pytest.raises(FedloraError, match=words) as error:
        open_with(**run_config)

    assert "\n" not in str(error.value)


def test_clients_of_other_machines_are_no_simulation():
    for _ in range(2):
        with pytest.raises(FedloraError, match=r"runtime\.name=inprocess: these clients are on"):
            open_with(simulated=False, config=tiny_run().model_dump_json())
    assert not Path("runs").exists()
    _, folder = open_with(config=tiny_run().model_dump_json())
    with pytest.raises(FedloraError, match="on machines of their own"):
        open_with(simulated=False, folder=str(folder))
