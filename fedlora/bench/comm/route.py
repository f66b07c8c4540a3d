"""fedlora's own route beside federated averaging, by what a newcomer sends and gets."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from fedlora.bench.comm.cases import Case, generating
from fedlora.bench.comm.curve import curve
from fedlora.client.client import Client
from fedlora.config import RunConfig
from fedlora.roster import seats
from fedlora.runtime.inprocess import InPacks
from fedlora.server.federation import federate
from fedlora.server.observer import Silent
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
    """One seed: newcomers are served after few rounds; beside it they take part in many rounds.

    The rival's points are those of one newcomer: the mean over all of them.
    """
    served = serve_newcomers(generating(case), case.seed)
    points = curve(case.config, case.seed, newcomers=True)
    newcomers = sum(seat.role == "newcomer" for seat in seats(case.config))
    one = [
        {**asdict(point), **{key: getattr(point, key) / newcomers for key in SHARED}}
        for point in points
    ]
    return {"served": asdict(served), "points": one}


SHARED = ("up", "down", "payload", "fit")


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
