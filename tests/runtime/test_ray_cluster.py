import threading

import pytest
from ray.cluster_utils import Cluster

from fedlora.runtime import ray as on_ray
from fedlora.runtime.clientapp import client_app
from tests.runtime.echo import ask, small_config, start


@pytest.mark.slow
def test_a_machine_of_the_cluster_that_is_lost_costs_no_answer():
    answers = []
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    runtime = small_config().runtime.model_copy(update={"address": cluster.address})

    def story(transport):
        answers.append(ask(transport, ["a", "b"]))
        killer = threading.Timer(2.0, cluster.remove_node, [second], {"allow_graceful": False})
        killer.start()
        answers.append(ask(transport, ["sleep 1"] * 10))
        killer.join()

    try:
        with on_ray.serving(runtime, client_app(start)) as serve:
            serve(small_config(timeout=120.0), 3, story)
    finally:
        cluster.shutdown()

    assert [reply.error for replies in answers for reply in replies.values()] == [""] * 12
