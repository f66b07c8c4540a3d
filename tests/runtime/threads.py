"""Flower's engine with threads for nodes: all of it but Ray, ready in a tenth of a second."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.server.superlink.fleet.vce.backend.backend import Backend

from fedlora.config import RunConfig
from fedlora.runtime.carriers import Carriers
from fedlora.runtime.clientapp import client_app
from fedlora.runtime.flower_transport import FlowerTransport
from fedlora.runtime.ray_engine import engine
from tests.runtime.echo import respond


class ThreadsBackend(Backend):
    """Answers messages in the engine's own threads; remembers how many it was sent."""

    def __init__(self) -> None:
        self.messages = 0
        self.app: ClientApp | None = None

    @property
    def num_workers(self) -> int:
        return 2

    def is_worker_idle(self) -> bool:
        return True

    def build(self, app_fn: Callable[[], ClientApp]) -> None:
        self.app = app_fn()

    def process_message(self, message: Message, context: Context) -> tuple[Message, Context]:
        self.messages += 1
        assert self.app is not None
        return self.app(message, context), context

    def terminate(self) -> None:
        pass


@contextmanager
def transport_over_threads(
    config: RunConfig, pack_seconds: float | None = 1.0, backend: Backend | None = None
) -> Iterator[FlowerTransport]:
    backend = backend or ThreadsBackend()
    with engine(client_app(respond), config.runtime.nodes, backend) as (grid, check):
        yield FlowerTransport(Carriers(grid, check), config, 7, pack_seconds)
