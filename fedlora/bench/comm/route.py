"""fedlora's own route beside federated averaging, by what a newcomer sends and gets."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from fedlora.adapter.parts import WHOLE
from fedlora.bench.comm.cases import Case, generating
from fedlora.bench.comm.curve import curve, opened, reached
from fedlora.client.client import Client
from fedlora.client.trial import score
from fedlora.config import RunConfig
from fedlora.roster import seats
from fedlora.runtime.inprocess import InPacks
from fedlora.server.describing import describe
from fedlora.server.federation import federate
from fedlora.server.groups import groups_of, load
from fedlora.server.observer import Silent
from fedlora.server.warm_start import warm_start
from fedlora.wire import parcel
from fedlora.wire.ledger import Entry

JUDGED = "evaluation"
"""The purpose of messages that are there to compare methods; in service there are none."""


@dataclass(frozen=True)
class Served:
    """What newcomers reach, and the serialised bytes of one of them.

    values: by method, the mean over newcomers, more being better.
    up, down: task vector and generated adapter, with the messages around them.
    adapter: one adapter down, which is all that somebody who takes the federated average needs.
    bank: all bytes of the rounds and the fine-tuning that newcomers profit from, evaluation not
        counted; they are spent once.
    """

    values: Mapping[str, float]
    up: float
    down: float
    adapter: float
    bank: int


def live_route(case: Case) -> dict[str, Any]:
    """One seed and codec: newcomers are served after few rounds; beside it they take part in many
    rounds, or download what these come to without them.

    The rival's points are those of one newcomer: the mean over all of them. It costs a run that
    generates, `Family.rival` rounds of all clients, and as many of the bank's: with images some
    3,000 epochs of a client, so that five seeds and three codecs take about three hours of two
    cores.
    """
    served = serve_newcomers(generating(case), case.seed)
    averages = downloads(case.config, case.seed)
    points = curve(case.config, case.seed, newcomers=True)
    newcomers = sum(seat.role == "newcomer" for seat in seats(case.config))
    one = [
        {**asdict(point), **{key: getattr(point, key) / newcomers for key in SHARED}}
        for point in points
    ]
    return {"served": asdict(served), "points": one, "downloads": averages}


SHARED = ("up", "down", "payload", "fit")


def downloads(config: RunConfig, seed: int) -> list[float]:
    """What newcomers reach, as `Point.value` has it, with the average of rounds without them.

    After each round of those that are scored where they take part; decoded, as they would hold it.
    """
    silent = config.warm_start.model_copy(update={"score": False})
    with opened(config.model_copy(update={"warm_start": silent}), seed) as (client, context):
        members = describe(context, "describe", [s for s in context.seats if s.role == "bank"])
        warm_start(context, members)
        desks = [client.desk(s.client) for s in context.seats if s.role == "newcomer"]
        values = []
        for round in range(1, config.warm_start.rounds):
            states = load(context, round, groups_of(context, [one.seat for one in members])) or {}
            (common,) = (state.common for state in states.values())
            data = parcel.pack(context.codec, common, WHOLE, None)
            held = parcel.unpack(context.codec, data, WHOLE, common, None)
            found = (score(desk.objective, held, desk.test) for desk in desks)
            values.append(mean(reached(scores) for scores in found))
        return values


def serve_newcomers(config: RunConfig, seed: int) -> Served:
    """Live a whole run in this process."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        client = Client(config, seed)
        transport = InPacks(client.handle_many, config.runtime.together)
        federate(config, seed, transport, folder, Silent())
        table = json.loads((folder / "table.json").read_text())
        lines = (folder / "ledger.jsonl").read_text().splitlines()
    sign = -1 if table["metric"] == "nll" else 1
    methods = dict.fromkeys(row["method"] for row in table["rows"])
    values = {
        name: sign * mean(row["value"] for row in table["rows"] if row["method"] == name)
        for name in methods
    }
    entries = [entry for entry in map(Entry.from_line, lines) if entry.purpose != JUDGED]
    arriving = {seat.client for seat in client.seats if seat.role == "newcomer"}
    own = [entry for entry in entries if entry.client in arriving]
    up, down = (
        sum(entry.serialised for entry in own if entry.direction == way) / len(arriving)
        for way in ("up", "down")
    )
    adapters = [e.serialised for e in own if e.direction == "down" and e.purpose == "adapter"]
    bank = sum(entry.serialised for entry in entries if entry.client not in arriving)
    return Served(values, up, down, mean(adapters), bank)
