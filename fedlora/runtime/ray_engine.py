"""Flower's simulation engine, run beside the caller's thread instead of around it."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.server.superlink.fleet.vce.backend import raybackend
from flwr.server.superlink.fleet.vce.backend.backend import Backend
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from fedlora.quiet import quiet


@contextmanager
def engine(
    app: ClientApp, nodes: int, backend: Backend
) -> Iterator[tuple[Grid, Callable[[], None]]]:
    """The Grid of a running simulation, and a check that raises when the engine has stopped.

    The engine wants to own the main thread and to run the server in another; here the server
    stays with the caller, so that its exceptions, Ctrl-C and SQLite connections are its own.

    Raises:
        RuntimeError: the engine did not start.
    """
    grids: Queue[Grid] = Queue()
    over = threading.Event()
    failures: list[BaseException] = []
    server = ServerApp()

    @server.main()
    def hand_over(grid: Grid, _: Context) -> None:
        grids.put(grid)
        over.wait()

    def run() -> None:
        try:
            run_simulation(server, app, nodes, backend_config={"client_resources": {}})
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=run, name="flower-engine", daemon=True)

    def check() -> None:
        if not thread.is_alive():
            raise RuntimeError("Flower's simulation engine stopped") from next(iter(failures), None)

    flowers = raybackend.RayBackend
    with quiet("flwr", below=logging.CRITICAL):  # what goes wrong is in a Reply or raised
        # The engine has no parameter for its backend.
        raybackend.RayBackend = lambda _: backend  # type: ignore[assignment,misc,return-value]
        thread.start()
        try:
            yield _first(grids, check), check
        finally:
            over.set()
            backend.terminate()
            thread.join()
            raybackend.RayBackend = flowers  # type: ignore[misc]


def _first(grids: Queue[Grid], check: Callable[[], None]) -> Grid:
    while True:
        try:
            return grids.get(timeout=0.1)
        except Empty:
            check()
