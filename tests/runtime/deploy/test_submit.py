"""A run that lost its server says how to go on, and status finds the one that is at work."""

import json
import os

import pytest

from fedlora import config, run_folder
from fedlora.cli.deploy.looking import status
from fedlora.errors import FedloraError
from fedlora.runtime.deploy.submit import going_on, latest, runs
from tests.runtime.deploy.federation import make

AGAIN = "fedlora deploy submit --at server --resume runs/a"


@pytest.mark.parametrize(
    "said",
    [
        "No heartbeat received from the task",
        "flwr list: Using SuperLink: fedlora Connection to the SuperLink is unavailable. Check",
    ],
)
def test_what_flower_says_of_a_lost_server_becomes_the_command_that_goes_on(said):
    with pytest.raises(FedloraError, match=f"go on with: {AGAIN}"), going_on(AGAIN):
        raise FedloraError(said)


def test_other_errors_stay_what_they_are():
    with pytest.raises(FedloraError, match=r"^lora\.rank: too large$"), going_on(AGAIN):
        raise FedloraError("lora.rank: too large")


def test_the_latest_run_is_the_one_that_was_worked_on_last(tmp_path):
    server = make(tmp_path, secure=False)[0]
    assert latest(server) is None
    for number, name in enumerate(("older", "newer")):
        journal = runs(server) / name / "seed-0" / "checkpoints" / "journal.sqlite"
        journal.parent.mkdir(parents=True)
        for file in (journal, runs(server) / name / "config.yaml"):
            file.touch()
            os.utime(file, (number, number))
    assert latest(server).name == "newer"

    os.utime(runs(server) / "older" / "seed-0" / "checkpoints" / "journal.sqlite", (9, 9))
    assert latest(server).name == "older"


def test_status_says_why_a_run_failed_until_it_is_gone_on_with(tmp_path, capsys):
    server = make(tmp_path, secure=False)[0]
    run = run_folder.create_at(config.load("configs/deployment.yaml"), runs(server) / "run")

    def told():
        status(server.folder, json=True)
        return json.loads(capsys.readouterr().out)[0]["runs"][0]["failure"]

    assert told() == ""
    with pytest.raises(FedloraError), run_folder.failure_kept(run):
        raise FedloraError("too few clients answered")
    assert told() == "too few clients answered"
    with run_folder.failure_kept(run):
        assert told() == ""
    assert told() == ""
