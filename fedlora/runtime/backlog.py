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
    """A pack on its way to a node; `second` when its only request was in a pack that was lost."""

    node: int
    requests: tuple[Request, ...]
    second: bool


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
        self._again: dict[int, deque[Request]] = {}
        self._cost: float | None = None

    def put(self, node: int, request: Request) -> None:
        """Leave a request for a node."""
        self._waiting.setdefault(node, deque()).append(request)

    def put_again(self, flight: Flight) -> None:
        """Leave the requests of a lost pack to be asked once more, each alone."""
        self._again.setdefault(flight.node, deque()).extend(flight.requests)

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
        queues = ((self._waiting, 0), (self._again, 1))
        left = [(r, sent) for queued, sent in queues for q in queued.values() for r in q]
        self._waiting, self._again = {}, {}
        return left

    def _next(self, node: int) -> Flight | None:
        waiting, again = self._waiting.get(node), self._again.get(node)
        if waiting:
            size = self._size(len(waiting))
            return Flight(node, tuple(waiting.popleft() for _ in range(size)), second=False)
        return Flight(node, (again.popleft(),), second=True) if again else None

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
