"""A backend of Flower's simulation engine: nodes are Ray actors that live as long as the run."""

import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.server.superlink.fleet.vce.backend.backend import Backend
from ray.exceptions import GetTimeoutError, RayActorError

from fedlora.errors import FedloraError


class Node:
    """One process that answers messages."""

    def __init__(self, app: ClientApp) -> None:
        self._app = app

    def ready(self) -> None:
        """Return once the process is there."""

    def run(self, message: Message, context: Context) -> tuple[Message, Context]:
        """The ClientApp's answer to one message."""
        return self._app(message, context), context


class NodesBackend(Backend):
    """Answers messages with `count` actors, in a Ray that the caller has started.

    Flower's own makes as many actors as the cluster has room for, hands messages to dead ones for
    ever, cannot be stopped before the last client has answered, and shuts Ray down under the
    threads that still wait for it.

    A node is served by the same actor whenever that one is idle: the clients that a node carries
    are the same in every round, and an actor keeps what it has encoded and recorded of them.

    cpus, gpus: of an actor; fractions of a GPU share it.
    """

    def __init__(self, count: int, cpus: float, gpus: float) -> None:
        self._count = count
        self._cpus = cpus
        self._gpus = gpus
        self._start: Callable[[], Any] | None = None
        self._actors: list[Any] = []
        self._change = threading.Condition()  # of what follows
        self._idle: list[Any] = []
        self._homes: dict[int, Any] = {}
        self._over = False
        self._up: set[Any] = set()
        self._broken: RayActorError | None = None

    @property
    def num_workers(self) -> int:
        """Messages that can be worked on at once."""
        return self._count

    def is_worker_idle(self) -> bool:
        """Whether an actor has nothing to do."""
        return bool(self._idle)

    def build(self, app_fn: Callable[[], ClientApp]) -> None:
        """Start the actors."""
        node: Any = ray.remote(num_cpus=self._cpus, num_gpus=self._gpus)(Node)
        self._start = lambda: node.remote(app_fn())
        for _ in range(self._count):
            self._enlist(self._start())

    def process_message(self, message: Message, context: Context) -> tuple[Message, Context]:
        """Wait for an actor, then for its answer, until the message's time to live is over.

        Raises:
            ConnectionError: the actor died, or took too long; another takes its place. Or the run
                is over.
            RayError: the ClientApp raised.
        """
        actor = self._take(message.metadata.dst_node_id)
        left = message.metadata.created_at + message.metadata.ttl - time.time()
        try:
            if left <= 0:
                raise ConnectionError("its turn came too late")
            answer: tuple[Message, Context] = ray.get(
                actor.run.remote(message, context), timeout=left
            )
        except RayActorError as error:
            self._replace(actor)
            raise ConnectionError("its process died, out of memory perhaps") from error
        except GetTimeoutError as error:
            # Nobody waits for this answer any more, and the next round needs the cores.
            self._replace(actor)
            raise ConnectionError("it took too long") from error
        except BaseException:
            self._put_back(actor)
            raise
        self._put_back(actor)
        return answer

    def check(self) -> None:
        """Say so where no actor is up and the latest could not start.

        Raises:
            FedloraError: why it could not.
        """
        if self._broken is not None and not self._up:
            why = " ".join(str(self._broken).split())
            raise FedloraError(
                "runtime: no node starts on Ray's machines, which need the same fedlora"
                f" each: {why[-300:]}"
            )

    def terminate(self) -> None:
        """Kill the actors, those at work included, and send away whoever waits for one."""
        with self._change:
            self._over = True
            for actor in self._actors:
                ray.kill(actor)
            self._change.notify_all()

    def _take(self, node: int) -> Any:
        """Wait for an actor: the node's own if it is idle, one that is no node's, or any.

        Raises:
            ConnectionError: the run is over.
        """
        with self._change:
            self._change.wait_for(lambda: self._idle or self._over)
            if self._over:
                raise ConnectionError("the run is over")
            actor = self._homes.get(node)
            if actor not in self._idle:
                taken = self._homes.values()
                free = [one for one in self._idle if one not in taken]
                actor = (free or self._idle)[0]
                if free or node not in self._homes:
                    self._homes[node] = actor
            self._idle.remove(actor)
            return actor

    def _put_back(self, actor: Any) -> None:
        with self._change:
            self._idle.append(actor)
            self._change.notify()

    def _replace(self, actor: Any) -> None:
        """Start an actor instead of one that is dead or must die, unless the run is over."""
        with self._change:
            if self._over or self._start is None:
                return
            self._actors.remove(actor)
            self._up.discard(actor)
            self._homes = {node: home for node, home in self._homes.items() if home is not actor}
            ray.kill(actor)
            self._enlist(self._start())

    def _enlist(self, actor: Any) -> None:
        """Give an actor work once it runs; where its machine is gone, that may be never."""
        self._actors.append(actor)

        def wait() -> None:
            try:
                ray.get(actor.ready.remote())
            except RayActorError as error:
                self._broken = error
                return
            self._up.add(actor)
            self._broken = None
            self._put_back(actor)

        threading.Thread(target=wait, name="ray-node", daemon=True).start()
