"""Rounds of a method, as accuracy against the bytes that had to travel for it."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedlora.client.client import Client
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.runtime.inprocess import InPacks
from fedlora.server.context import ServerContext
from fedlora.server.describing import describe
from fedlora.server.federation import open_context
from fedlora.server.groups import PHASE
from fedlora.server.journal import Journal
from fedlora.server.observer import Silent
from fedlora.server.warm_start import warm_start
from fedlora.wire.ledger import Entry


@dataclass(frozen=True)
class Point:
    """What clients are served after some rounds.

    rounds: completed before.
    up, down: serialised bytes of all clients until they are so served, those of the message that
        serves them included.
    payload: bytes of values alone, both ways.
    fit: of them, those of completed rounds, which is what FlowerTune counts.
    slowest_up, slowest_down: the largest client's of each round, summed as `up` and `down` are.
    value: mean of the task's metric over clients, on their test data; its negative where less is
        better, so that more is better always.
    """

    rounds: int
    up: int
    down: int
    payload: int
    fit: int
    slowest_up: int
    slowest_down: int
    value: float

    @property
    def bytes(self) -> int:
        """Both ways."""
        return self.up + self.down


def curve(config: RunConfig, seed: int, newcomers: bool = False) -> list[Point]:
    """Live the warm start of a run, whose clients say each round how well they are served.

    newcomers: take part as well, and only they are looked at.

    Raises:
        FedloraError: the run does not score its rounds, or one of them fails.
    """
    if not config.warm_start.score:
        raise FedloraError("warm_start.score: the bench needs it to be true")
    with opened(config, seed) as (_, context):
        members = [seat for seat in context.seats if newcomers or seat.role == "bank"]
        warm_start(context, describe(context, "describe", members))
        looked_at = {seat.client for seat in members if not newcomers or seat.role == "newcomer"}
        return _points(context.journal, looked_at)


@contextmanager
def opened(config: RunConfig, seed: int) -> Iterator[tuple[Client, ServerContext]]:
    """A federation whose clients and server are in this process, before its first message."""
    with tempfile.TemporaryDirectory() as scratch:
        client = Client(config, seed)
        journal = Journal(Path(scratch) / "journal.sqlite")
        transport = InPacks(client.handle_many, config.runtime.together)
        try:
            yield client, open_context(config, seed, transport, Path(scratch), Silent(), journal)
        finally:
            journal.close()


def _points(journal: Journal, clients: Collection[int]) -> list[Point]:
    lines = map(Entry.from_line, journal.lines("ledger"))
    entries = [e for e in lines if e.phase == PHASE and e.client in clients]
    values: dict[int, list[float]] = defaultdict(list)
    for line in map(json.loads, journal.lines("metrics")):
        if line.get("phase") == PHASE and "value" in line and line["client"] in clients:
            values[line["round"]].append(reached(line["value"]))
    points = []
    for round, found in sorted(values.items()):
        down = [e for e in entries if e.direction == "down" and e.round <= round]
        up = [e for e in entries if e.direction == "up" and e.round < round]
        before = [e for e in down if e.round < round]
        points.append(
            Point(
                rounds=round - 1,
                up=sum(e.serialised for e in up),
                down=sum(e.serialised for e in down),
                payload=sum(e.payload for e in [*up, *down]),
                fit=sum(e.payload for e in [*up, *before]),
                slowest_up=_slowest(up),
                slowest_down=_slowest(down),
                value=sum(found) / len(found),
            )
        )
    return points


def _slowest(entries: Iterable[Entry]) -> int:
    """The largest client's bytes of each round, summed: what a round waits for."""
    spent: dict[tuple[int, int], int] = defaultdict(int)
    for entry in entries:
        spent[entry.round, entry.client] += entry.serialised
    rounds = {round for round, _ in spent}
    return sum(max(size for (of, _), size in spent.items() if of == round) for round in rounds)


def reached(scores: dict[str, float]) -> float:
    """The metric among an objective's scores, as `Point.value` has it."""
    (metric,) = scores.keys() - {"loss"}
    return -scores[metric] if metric == "nll" else scores[metric]


def at_bytes(points: Sequence[Point], budget: float) -> float:
    """What a budget of bytes buys: the last point that it pays for in full, at least the first.

    Between two points nobody holds an adapter: a round that the budget does not end counts nothing.
    """
    return [points[0], *(point for point in points if point.bytes <= budget)][-1].value


def first_at(points: Sequence[Point], value: float) -> Point | None:
    """The point at which a value is first reached; None where it never is."""
    return next((point for point in points if point.value >= value), None)
