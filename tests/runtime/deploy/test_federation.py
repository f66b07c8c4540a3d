"""A server and clients with TLS and keys, as a user starts them, on this machine's loopback."""

import stat

import psutil
import pytest

from fedlora import run_folder
from fedlora.bench.deploy.rehearsal import rehearsal
from fedlora.config import dump, from_dict
from fedlora.runtime import run as running
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
        assert "refused 127.0.0.1 at /v1/fleet/activate-node: 4" in server.said()
        assert "worker ended with status -9; it is started again" in client.said()
        started = psutil.Process().children(recursive=True)
    here = running.run(config, run_folder.create(config, tmp_path / "here"), Silent())
    assert there["fingerprint"] == here["fingerprint"]
    assert "PRIVATE KEY" not in federation.logs()
    assert psutil.wait_procs(started, timeout=10)[1] == []
    for secret in (*tmp_path.rglob("*.key"), *tmp_path.rglob("*.secret")):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
