"""Many clients on the cores and cards of one machine or cluster: Flower's simulation on Ray."""

import logging
import math
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from flwr.clientapp import ClientApp

from fedlora.config import RunConfig, RuntimeConfig
from fedlora.errors import FedloraError
from fedlora.runtime import clientapp, environment, finished
from fedlora.runtime.carriers import Carriers
from fedlora.runtime.flower_transport import PACK_SECONDS, FlowerTransport
from fedlora.runtime.ray_backend import NodesBackend
from fedlora.runtime.ray_engine import engine
from fedlora.runtime.serving import Serve, Story

FREE = "free CPUs or GPUs on Ray's machines, or lower runtime.nodes"
"""What helps where other programs have taken a cluster's."""


@contextmanager
def serving(runtime: RuntimeConfig, app: ClientApp = clientapp.app) -> Iterator[Serve]:
    """Tell stories, in the caller's thread, with `app`'s clients on Ray.

    Ray, its processes and the base models in them stay from one story to the next.

    Raises:
        FedloraError: Ray cannot be reached, or has no room for a single node.
    """
    with _cluster(runtime):
        backend = NodesBackend(_actors(runtime), runtime.cpus_per_node, runtime.gpus_per_node)
        with engine(app, runtime.nodes, backend) as (grid, check):

            def alive() -> None:
                check()
                backend.check()

            carriers = Carriers(grid, alive, remedy=FREE)

            def serve(config: RunConfig, seed: int, story: Story) -> None:
                story(FlowerTransport(carriers, config, seed, PACK_SECONDS))

            yield serve


@contextmanager
def _cluster(runtime: RuntimeConfig) -> Iterator[None]:
    """Ray itself: the cluster at `runtime.address`, or one of our own for as long as it takes."""
    cores = math.ceil(runtime.nodes * runtime.cpus_per_node)
    _reach(runtime.address)
    kept = Path(tempfile.gettempdir()) / f"fedlora-{secrets.token_hex(8)}"  # on each machine
    ray.init(
        address=runtime.address or "local",
        num_cpus=None if runtime.address else cores,
        include_dashboard=None if runtime.address else False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": {**environment.for_workers(), finished.FOLDER: str(kept)}},
    )
    try:
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(kept, ignore_errors=True)


def _reach(address: str | None) -> None:
    """Find out in seconds what Ray would take minutes to say."""
    host, _, port = (address or "").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except OSError as error:
        raise FedloraError(
            f"runtime.address: no Ray cluster at '{address}' ({error});"
            " start one with `RAY_worker_niceness=0 ray start --head`, or leave the address out"
        ) from error


def _actors(runtime: RuntimeConfig) -> int:
    """How many of the nodes Ray has room for at once; the others wait their turn."""
    asked = {"CPU": runtime.cpus_per_node, "GPU": runtime.gpus_per_node}
    machines: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    rooms = [
        min(int(node["Resources"].get(what, 0.0) / much) for what, much in asked.items() if much)
        for node in machines
        if node["Alive"]
    ]
    if sum(rooms) == 0:
        wanted = f"{runtime.cpus_per_node:g} CPUs and {runtime.gpus_per_node:g} GPUs"
        raise FedloraError(
            f"runtime: no Ray machine has {wanted} for a node;"
            " lower runtime.cpus_per_node or runtime.gpus_per_node"
        )
    return min(sum(rooms), runtime.nodes)
