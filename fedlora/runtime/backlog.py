"""What each node has still to be asked, and how much of it to ask at once."""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from fedlora.wire.exchange import Request

AHEAD = 2
"""Packs a node has at once: one it works on, and one that saves it the wait for the next poll."""

LEAST = 0.2
"""Seconds of work below which a pack is not split further: to send one takes about as long."""


@dataclass(frozen=True)
class Flight:
    """A pack on its way to a node; its requests were in `lost` packs before that never came."""

    node: int
    requests: tuple[Request, ...]
    lost: int = 0

    @property
    def last(self) -> bool:
        """Whether nobody but its only client can be to blame when this one is lost as well."""
        return self.lost > 0 and len(self.requests) == 1


class Backlog:
    """The requests of one exchange, dealt out in packs.

    pack_seconds: work that a pack should hold, judged by the replies so far; None puts all of a
        node's requests into one pack.
    together: requests that a pack should hold at least, since a node answers so many at once.
    """

    def __init__(self, pack_seconds: float | None, together: int = 1) -> None:
        self._pack_seconds = pack_seconds
        self._together = together
        self._waiting: dict[int, deque[Request]] = {}
        self._again: dict[int, deque[Flight]] = {}
        self._cost: float | None = None

    def put(self, node: int, request: Request) -> None:
        """Leave a request for a node."""
        self._waiting.setdefault(node, deque()).append(request)

    def put_again(self, flight: Flight) -> None:
        """Leave the requests of a lost pack to be asked once more, in smaller packs.

        First those that are answered together, so that the answers are the same; then each alone,
        so that one that takes its process down costs the others nothing.
        """
        size = 1 if flight.lost else self._together
        parts = (flight.requests[at : at + size] for at in range(0, len(flight.requests), size))
        again = (Flight(flight.node, part, flight.lost + 1) for part in parts)
        self._again.setdefault(flight.node, deque()).extend(again)

    def learn(self, seconds: float, clients: int) -> None:
        """Note what the latest pack took; the first one's model loading is soon forgotten."""
        self._cost = seconds / clients

    def deal(self, flying: Iterable[Flight]) -> list[Flight]:
        """Take the next packs of every node that has room for them."""
        busy = [flight.node for flight in flying]
        dealt: list[Flight] = []
        for node in {**self._waiting, **self._again}:
            for _ in range(AHEAD - busy.count(node)):
                flight = self._next(node)
                if flight:
                    dealt.append(flight)
        return dealt

    @property
    def waits(self) -> bool:
        """Whether anything is left to be dealt."""
        return any(self._waiting.values()) or any(self._again.values())

    def drain(self) -> list[tuple[Request, int]]:
        """Take all that is left, each with how often it was sent before."""
        left = [(request, 0) for queue in self._waiting.values() for request in queue]
        for flight in (flight for queue in self._again.values() for flight in queue):
            left += [(request, flight.lost) for request in flight.requests]
        self._waiting, self._again = {}, {}
        return left

    def _next(self, node: int) -> Flight | None:
        waiting, again = self._waiting.get(node), self._again.get(node)
        if waiting:
            size = self._size(len(waiting))
            return Flight(node, tuple(waiting.popleft() for _ in range(size)))
        return again.popleft() if again else None

    def _size(self, waiting: int) -> int:
        """As few as go together until something is known; never so many that all wait for one."""
        if self._pack_seconds is None:
            return waiting
        if self._cost is None:
            return min(self._together, waiting)
        enough, least = (int(s / max(self._cost, 1e-6)) for s in (self._pack_seconds, LEAST))
        share = math.ceil(waiting / AHEAD)
        size = max(self._together, min(enough, max(share, least)))
        # Whole groups, so that who trains together does not depend on how long packs take.
        return min(size - size % self._together, waiting)
