"""Rounds of a method, as accuracy against the bytes that had to travel for it."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlora.backbone import open_slot
from fedlora.client.client import Client
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.roster import seats
from fedlora.runtime.inprocess import InPacks
from fedlora.server.asking import Asker
from fedlora.server.context import ENVELOPE_BYTES, ServerContext
from fedlora.server.describing import describe
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
    value: mean of the task's metric over clients, on their test data.
    """

    rounds: int
    up: int
    down: int
    payload: int
    value: float

    @property
    def bytes(self) -> int:
        """Both ways."""
        return self.up + self.down


def curve(config: RunConfig, seed: int) -> list[Point]:
    """Live the warm start of a run, whose clients say each round how well they are served.

    Raises:
        FedloraError: the run does not score its rounds, or one of them fails.
    """
    if not config.warm_start.score:
        raise FedloraError("warm_start.score: the bench needs it to be true")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        client = Client(config, seed)
        journal = Journal(folder / "journal.sqlite")
        transport = InPacks(client.handle_many, config.runtime.together)
        asker = Asker(transport, journal, config.rounds, Silent(), ENVELOPE_BYTES)
        context = ServerContext(
            config=config,
            seed=seed,
            folder=folder,
            seats=seats(config),
            spec=open_slot(config.backbone, config.lora, config.runtime.device).spec,
            codec=config.codec.build(),
            journal=journal,
            asker=asker,
            observer=Silent(),
        )
        members = [seat for seat in context.seats if seat.role == "bank"]
        warm_start(context, describe(context, "describe", members))
        points = _points(journal)
        journal.close()
    return points


def _points(journal: Journal) -> list[Point]:
    entries = [e for line in journal.lines("ledger") if (e := Entry.from_line(line)).phase == PHASE]
    values: dict[int, list[float]] = defaultdict(list)
    for line in map(json.loads, journal.lines("metrics")):
        if line.get("phase") == PHASE and "value" in line:
            values[line["round"]].append(next(v for k, v in line["value"].items() if k != "loss"))
    points = []
    for round, found in sorted(values.items()):
        down = [e for e in entries if e.direction == "down" and e.round <= round]
        up = [e for e in entries if e.direction == "up" and e.round < round]
        points.append(
            Point(
                rounds=round - 1,
                up=sum(e.serialised for e in up),
                down=sum(e.serialised for e in down),
                payload=sum(e.payload for e in [*up, *down]),
                value=sum(found) / len(found),
            )
        )
    return points


def at_bytes(points: Sequence[Point], budget: int) -> float:
    """The best value that is reached within a budget of bytes; the first one where none fits."""
    within = [point.value for point in points if point.bytes <= budget]
    return max(within) if within else points[0].value


def bytes_to(points: Sequence[Point], value: float) -> int | None:
    """The least bytes with which a value is reached; None where it never is."""
    return min((point.bytes for point in points if point.value >= value), default=None)
