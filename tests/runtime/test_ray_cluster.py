"""Two Ray machines on one: what is lost with one of them, and what is not."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from fedlora.bench.sim.node_loss import survives_node_loss
from fedlora.runtime import ray as on_ray
from fedlora.runtime.clientapp import client_app
from tests.runtime.echo import ask, respond, small_config

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

    with on_ray.serving(runtime, client_app(respond)) as serve:
        serve(small_config(timeout=120.0), 3, story)

    assert [reply.error for replies in answers for reply in replies.values()] == [""] * 12


@pytest.mark.parametrize("training", ["sequential", "batched"])
def test_a_machine_killed_in_the_middle_of_a_round_changes_no_number(tmp_path: Path, training):
    assert survives_node_loss(tmp_path, training)
