"""Two Ray machines on one: what is lost with one of them, and what is not."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from fedlora.runtime import ray as on_ray
from fedlora.runtime import run as running
from fedlora.runtime.clientapp import client_app
from fedlora.server.observer import Silent
from tests.conftest import merged
from tests.runtime.echo import ask, small_config, start
from tests.runtime.tiny_run import tiny_run

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """One machine with one core."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield cluster
    cluster.shutdown()


def test_a_machine_of_the_cluster_that_is_lost_costs_no_answer(cluster):
    answers = []
    second = cluster.add_node(num_cpus=1)
    runtime = small_config().runtime.model_copy(update={"address": cluster.address})

    def story(transport):
        answers.append(ask(transport, ["a", "b"]))
        killer = threading.Timer(2.0, cluster.remove_node, [second], {"allow_graceful": False})
        killer.start()
        answers.append(ask(transport, ["sleep 1"] * 10))
        killer.join()

    with on_ray.serving(runtime, client_app(start)) as serve:
        serve(small_config(timeout=120.0), 3, story)

    assert [reply.error for replies in answers for reply in replies.values()] == [""] * 12


class KillsIn(Silent):
    """Calls `kill` as soon as one client has answered in a phase."""

    def __init__(self, phase, kill):
        self._waits_for, self._kill, self._phase = phase, kill, ""

    def phase(self, title, total):
        self._phase = title

    def advance(self, steps=1):
        if steps and self._phase == self._waits_for:
            self._phase = ""
            self._kill()


def long_enough_to_be_killed(**runtime):
    raw = tiny_run().model_dump()
    changes = {"tasks": {"bank": 8}, "finetune": {"epochs": 12}, "runtime": runtime}
    return type(tiny_run()).model_validate(merged(raw, changes))


def test_a_machine_killed_in_the_middle_of_a_round_changes_no_number(cluster, tmp_path: Path):
    second = cluster.add_node(num_cpus=1)
    undisturbed = long_enough_to_be_killed()
    disturbed = long_enough_to_be_killed(name="ray", address=cluster.address)
    kill = KillsIn("finetune", lambda: cluster.remove_node(second, allow_graceful=False))

    expected = running.run(undisturbed, running.create_at(undisturbed, tmp_path / "a"), Silent())
    found = running.run(disturbed, running.create_at(disturbed, tmp_path / "b"), kill)

    assert found["fingerprint"] == expected["fingerprint"]
    assert '"lost"' in (tmp_path / "b" / "seed-0" / "ledger.jsonl").read_text()
    assert (tmp_path / "b" / "seed-0" / "lost.jsonl").read_text() == ""
