"""`flwr run` on the checkout, as a user types it."""

import subprocess
from pathlib import Path

import psutil
import pytest
import yaml

from fedlora import run_folder
from fedlora.runtime import run as running
from fedlora.runtime.processes import flower_environment, free_ports
from fedlora.server.observer import Silent
from tests.runtime.tiny_run import tiny_run

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def flower(tmp_path):
    """Flower's commands with a local SuperLink of their own, which is stopped at the end."""
    control, http = map(str, free_ports(2))
    ports = {"FLWR_LOCAL_CONTROL_API_PORT": control, "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": http}
    yield {**flower_environment(tmp_path / "flower"), **ports}
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if http in command and any(word.endswith("flower-superlink") for word in command):
            process.terminate()
            process.wait(30)


@pytest.mark.slow
def test_flwr_run_fills_the_same_run_folder(tmp_path, flower):
    config = tiny_run()
    whole = tmp_path / "whole.yaml"
    whole.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    told = subprocess.run(
        ["flwr", "run", str(CHECKOUT), "--stream", "--run-config", f'config="{whole}"'],
        env=flower,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    [results] = tmp_path.glob("runs/tiny_*/results.json")
    here = running.run(config, run_folder.create(config, tmp_path / "here"), Silent())

    assert f"fedlora report {results.parent}" in told
    assert yaml.safe_load(results.read_text())["fingerprint"] == here["fingerprint"]
