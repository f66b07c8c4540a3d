"""A server and clients with TLS and keys, as a user starts them, on this machine's loopback."""

import stat

import psutil
import pytest

from fedlora import run_folder
from fedlora.bench.deploy.rehearsal import rehearsal
from fedlora.config import dump, from_dict
from fedlora.runtime import run as running
from fedlora.runtime.deploy.initialise import invite, revoke
from fedlora.server.observer import Silent
from tests.runtime.tiny_run import tiny_run

pytestmark = pytest.mark.timeout(900)


def smallest(tmp_path, **sections):
    """Four tasks in the bank, one newcomer, no averaging first; and its file."""
    raw = tiny_run().model_dump(mode="json")
    raw["warm_start"]["rounds"] = 0
    config = from_dict(raw | sections, origin="a test")
    (tmp_path / "config.yaml").write_text(dump(config))
    return config, tmp_path / "config.yaml"


def test_a_federation_ends_like_a_run_in_process_though_its_worker_is_killed(tmp_path):
    config, file = smallest(tmp_path)
    with rehearsal(tmp_path, clients=1) as federation:
        stranger = federation.invite("stranger")
        (federation.server_place.nodes / "stranger.pub").unlink()
        server = federation.serve()
        server.wait_for("let in client-0")
        client = federation.join(0)
        intruder = federation.start("intruder", "deploy", "client", stranger.folder)
        federation.submit(file)
        federation.wait_for_answers(4)
        client.kill_part("deploy.worker")
        there = federation.results()

        intruder.wait_for("have it let in with fedlora deploy invite")
        intruder.stop()
        assert "refused 127.0.0.1: a key that was not invited" in server.said()
        assert "worker ended with status -9; it is started again" in client.said()
        started = psutil.Process().children(recursive=True)
    here = running.run(config, run_folder.create(config, tmp_path / "here"), Silent())
    assert there["fingerprint"] == here["fingerprint"]
    assert "PRIVATE KEY" not in federation.logs()
    assert psutil.wait_procs(started, timeout=10)[1] == []
    for secret in tmp_path.rglob("*.key"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_client_whose_key_is_taken_back_is_put_out_and_another_takes_its_share(tmp_path):
    _, file = smallest(tmp_path)
    with rehearsal(tmp_path, clients=2) as federation:
        server = federation.serve()
        federation.join(0)
        taken = federation.join(1)
        server.wait_for("let in client-1")
        taken.wait_for("connected")

        revoke(tmp_path / "fed", "client-1")
        server.wait_for("put out client-1")
        taken.wait_for("taken back")
        server.wait_for("refused 127.0.0.1: a key that was taken back")
        assert taken.process.wait(60) == 2  # it was started again, once, in vain
        assert "ask whoever runs the server for another invitation" in taken.said()

        other = invite(tmp_path / "fed", "other", instead_of="client-1")
        server.wait_for("let in other")
        federation.start("other", "deploy", "client", other.folder)
        federation.submit(file)
        assert federation.results()["lost"] == []


def test_what_a_client_says_of_its_share_is_not_believed(tmp_path):
    _, file = smallest(tmp_path)
    with rehearsal(tmp_path, clients=1) as federation:
        server = federation.serve()
        greedy = federation.invite("greedy")
        facts = greedy.folder / "federation.json"
        facts.write_text(facts.read_text().replace('"share": null', '"share": 0'))
        server.wait_for("let in greedy")
        machine = federation.start("greedy", "deploy", "client", greedy.folder)
        machine.wait_for("connected")
        federation.join(0).wait_for("connected")
        federation.submit(file)

        assert federation.results()["lost"] == []
        assert "answered" in (federation.client_places[0].state / "host.log").read_text()
        host = (greedy.state / "host.log").read_text()
        assert host.count("answered in") == 1  # what it carries, and nothing of the run
