"""Which Flower node carries which of the virtual clients."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedlora.errors import FedloraError
from fedlora.runtime.clientapp import CARRIES

PATIENCE = 120.0
"""Seconds for the nodes of a run to connect and to say whom they carry."""

_PAUSE = 0.1


@dataclass(frozen=True)
class _Load:
    """What one node carries: the clients it names, or those with index mod `of` == `share`.

    version: of its fedlora; empty for one that does not say.
    """

    clients: frozenset[int] | None
    share: int
    of: int
    version: str = ""

    def __contains__(self, client: int) -> bool:
        if self.clients is not None:
            return client in self.clients
        return self.of > 0 and client % self.of == self.share


def _hope() -> None:
    """No reason to give up."""


class Carriers:
    """Asks every node once whom it carries, newcomers among the nodes included.

    grid: where the nodes are.
    check: called while waiting; raises when no answer can come any more.
    say: is told of nodes that take no part.
    """

    def __init__(
        self,
        grid: Grid,
        check: Callable[[], None] = _hope,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.grid = grid
        self.check = check
        self._say = say
        self._loads: dict[int, _Load] = {}
        self._strangers: set[int] = set()

    def wait_for(self, count: int) -> None:
        """Return when `count` nodes are connected and have said whom they carry.

        Raises:
            FedloraError: fewer did so in time.
        """
        deadline = time.monotonic() + PATIENCE
        while (here := len(self._here())) < count and time.monotonic() < deadline:
            self.check()
            time.sleep(_PAUSE)
        if here >= count:
            self.refresh()
            here = len(self._loads)
        if here < count:
            raise FedloraError(
                f"runtime.nodes: {count} expected, {here} answered within {PATIENCE:.0f} s;"
                f" start the others, or set runtime.nodes={max(here, 1)}"
            )

    def refresh(self) -> None:
        """Meet the nodes that came, forget those that went."""
        here = self._here()
        self._loads = {node: load for node, load in self._loads.items() if node in here}
        new = [node for node in here if node not in self._loads]
        ours = RecordDict({"server": ConfigRecord({"version": version("fedlora")})})
        asked = [Message(ours, node, CARRIES, ttl=PATIENCE) for node in new]
        waiting = set(self.grid.push_messages(asked))
        deadline = time.monotonic() + PATIENCE
        while waiting and time.monotonic() < deadline:
            self.check()
            for answer in self.grid.pull_messages(list(waiting)):
                waiting.discard(answer.metadata.reply_to_message_id)
                load = None if answer.has_error() else _load(answer)
                if load is not None:
                    self._meet(answer.metadata.src_node_id, load)
            time.sleep(_PAUSE if waiting else 0.0)

    def _meet(self, node: int, load: _Load) -> None:
        """Keep what a node carries, unless it runs another fedlora."""
        ours = version("fedlora")
        if load.version in ("", ours):
            self._loads[node] = load
        elif node not in self._strangers:
            self._strangers.add(node)
            self._say(
                f"a client's machine runs fedlora {load.version!a:.20}, this server {ours}:"
                " it takes no part; install the same on both"
            )

    def of(self, client: int) -> int | None:
        """The node that carries a client; None when nobody does."""
        return next((node for node, load in self._loads.items() if client in load), None)

    @property
    def nodes(self) -> list[int]:
        """All that have said whom they carry, in the order of their shares."""
        return sorted(self._loads, key=lambda node: self._loads[node].share)

    def share_of(self, node: int) -> int:
        """Which share of the clients a node carries: its partition-id."""
        return self._loads[node].share

    def __contains__(self, node: int) -> bool:
        return node in self._here()

    def _here(self) -> set[int]:
        return set(self.grid.get_node_ids())


def _load(answer: Message) -> _Load | None:
    """What a node says; None for one that says nothing of use, which then carries nobody."""
    try:
        node: Any = answer.content["node"]
        named = node.get("clients")
        clients = None if named is None else frozenset(map(int, named))
        share, of = (int(node.get(key, 0)) for key in ("partition-id", "num-partitions"))
        return _Load(clients, share, of, str(node.get("version", "")))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
