"""A real SuperLink and real SuperNodes on the loopback."""

import json
import time

import psutil
import pytest

from fedlora import run_folder
from fedlora.config import dump
from fedlora.errors import FedloraError
from fedlora.report.run_folder import json_lines
from fedlora.run_folder import seed_folder
from fedlora.runtime import deployment
from fedlora.runtime import run as running
from fedlora.runtime.framing import ALLOWED, Framing
from fedlora.runtime.loopback import COUNTERS, NAME, loopback
from fedlora.runtime.relay import totals
from fedlora.runtime.submission import submit, write_app
from fedlora.server.observer import Silent
from fedlora.wire.ledger import Entry
from tests.runtime.echo import small_config
from tests.runtime.ledger_app import CLIENTS, ROUNDS, VALUES
from tests.runtime.tiny_run import tiny_run

LEDGER = {
    "serverapp": "tests.runtime.ledger_app:server",
    "clientapp": "tests.runtime.ledger_app:client",
}
ECHO = {
    "serverapp": "tests.runtime.echo_app:server",
    "clientapp": "tests.runtime.echo_app:client",
}


def prepare(folder, questions):
    """A run folder whose story is to ask these questions."""
    folder.mkdir()
    (folder / "config.yaml").write_text(dump(small_config(name="deployment")))
    (folder / "questions.json").write_text(json.dumps(questions))
    app = folder / "app"
    write_app(app, {"config": "", "overrides": "", "folder": str(folder)}, ECHO)
    return app


def test_a_loopback_deployment_answers_and_leaves_no_process(tmp_path):
    app = prepare(tmp_path / "run", [["a", "raise boom", "b"]])
    (tmp_path / "home").mkdir()

    with loopback(2, tmp_path / "home", tmp_path) as env:
        started = psutil.Process().children(recursive=True)
        record = submit(app, NAME, env, tmp_path / "run.log", print)

    [[first, second, third]] = json.loads((tmp_path / "run" / "answers.json").read_text())
    assert [first[0], second[0], third[0]] == ["", "ValueError: boom", ""]
    assert (first[1].split()[0], first[1].split()[-1]) == ("0", "a")
    assert record["network-traffic"]["total-bytes"] > 0
    assert psutil.wait_procs(started, timeout=10)[1] == []


@pytest.mark.slow
def test_a_run_that_fails_says_why_in_one_line(tmp_path):
    app = prepare(tmp_path / "run", [])
    (tmp_path / "home").mkdir()

    with (
        loopback(1, tmp_path / "home", tmp_path) as env,
        pytest.raises(FedloraError, match=r"^there is nothing to ask$"),
    ):
        submit(app, NAME, env, tmp_path / "run.log", print)
    assert "FedloraError" in (tmp_path / "run.log").read_text()


def test_the_ledger_of_a_deployment_is_what_its_relays_counted(tmp_path):
    """Claim A7: every byte on the sockets is a frame, framing as documented, or in no line yet."""
    (tmp_path / "home").mkdir()
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(dump(small_config(nodes=1, timeout=300.0, name="deployment")))
    counters = tmp_path / "home" / COUNTERS
    where = {"config": "", "overrides": "", "folder": str(run), "counters": str(counters)}
    write_app(run / "app", where, LEDGER)
    began = time.monotonic()
    with loopback(1, tmp_path / "home", tmp_path) as env:
        submit(run / "app", NAME, env, tmp_path / "run.log", print)
    framing = Framing(nodes=1, packs=ROUNDS, seconds=time.monotonic() - began)
    entries = [Entry.from_line(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    (relay,) = totals(counters)

    assert len(entries) == 2 * ROUNDS * CLIENTS
    for way in ALLOWED:
        own = [entry for entry in entries if entry.direction == way]
        frames, sockets = (sum(getattr(e, n) for e in own) for n in ("serialised", "socket"))
        assert sum(entry.payload for entry in own) == 4 * VALUES * ROUNDS * CLIENTS
        allowed = framing.most(way, frames)
        assert allowed < own[0].serialised  # one frame more or less would be noticed
        assert frames <= relay[way] <= frames + allowed
        assert relay[way] - ALLOWED[way].pack <= sockets <= relay[way]


def test_a_superlink_that_cannot_be_reached_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    config = small_config(name="deployment")
    runtime = config.runtime.model_copy(update={"address": "elsewhere"})
    folder = run_folder.create(config, tmp_path)

    with pytest.raises(FedloraError, match="elsewhere"):
        deployment.run(folder, runtime, Silent())


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a process a message, each of which imports torch
def test_a_deployment_ends_with_the_same_adapters_as_a_run_in_process(tmp_path):
    here = tiny_run()
    there = tiny_run(name="deployment")
    mine = running.run(here, run_folder.create(here, tmp_path / "here"), Silent())
    theirs = running.run(there, run_folder.create(there, tmp_path / "there"), Silent())

    assert mine["fingerprint"] == theirs["fingerprint"]
    lines = json_lines(seed_folder(next(tmp_path.glob("there/*")), 0) / "ledger.jsonl")
    wire, frames = (sum(line[size] for line in lines) for size in ("socket", "serialised"))
    assert frames < wire
