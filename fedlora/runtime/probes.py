"""Packs that went down with their SuperNode, found out before the round's time is up.

A SuperNode that is killed and started again has its old identity, and Flower goes on waiting for
the answer to a message that nobody works on any more. But a SuperNode takes its messages one
after another: when it answers a question that was sent after a pack, twice, the pack is gone.
"""

import time
from collections.abc import Mapping

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedlora.runtime.backlog import Flight
from fedlora.runtime.clientapp import CARRIES
from fedlora.runtime.pulling import answers

EVERY = 20.0
"""Seconds without an answer before a node is asked whether it still works on a pack."""

_ENOUGH = 2
"""Answers from behind a pack that prove it lost: one may have overtaken it."""


class Probes:
    """Questions to the nodes of one exchange, one at a time for each."""

    def __init__(self, grid: Grid, every: float = EVERY) -> None:
        self._grid, self._every = grid, every
        self._since: dict[str, float] = {}
        self._overtaken: dict[str, int] = {}
        self._asked: dict[str, tuple[int, float]] = {}

    def lost(self, flying: Mapping[str, Flight]) -> list[str]:
        """The names of packs that nobody works on any more."""
        now = time.monotonic()
        self._since = {name: self._since.get(name, now) for name in flying}
        self._overtaken = {name: self._overtaken.get(name, 0) for name in flying}
        self._hear(flying)
        waiting = {node for node, _ in self._asked.values()}
        for node in {flight.node for flight in flying.values()} - waiting:
            oldest = min(self._since[n] for n, flight in flying.items() if flight.node == node)
            if now - oldest > self._every:
                self._ask(node, now)
        return [name for name, count in self._overtaken.items() if count >= _ENOUGH]

    def _ask(self, node: int, now: float) -> None:
        message = Message(RecordDict(), node, CARRIES, ttl=10 * self._every)
        for name in self._grid.push_messages([message]):
            self._asked[name] = (node, now)

    def _hear(self, flying: Mapping[str, Flight]) -> None:
        if not self._asked:
            return
        for question, answer in answers(self._grid, self._asked):
            node, asked = self._asked.pop(question)
            for name, flight in flying.items():
                behind = flight.node == node and self._since[name] < asked
                if behind and answer is not None and not answer.has_error():
                    self._overtaken[name] += 1
