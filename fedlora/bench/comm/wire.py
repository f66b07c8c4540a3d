"""Claim A7: the ledger of a deployment beside what its relays counted, and beside the floor."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from fedlora import run_folder
from fedlora.adapter import AdapterSpec
from fedlora.backbone import open_slot
from fedlora.bench.claims import plain_claim
from fedlora.bench.deploy.bench import tiny
from fedlora.config import RunConfig, from_dict
from fedlora.results import Claim
from fedlora.run_folder import seed_folder
from fedlora.runtime import run as running
from fedlora.runtime.deployment import RELAYS
from fedlora.runtime.framing import ALLOWED, Framing
from fedlora.server.observer import Silent
from fedlora.wire.floor import exact_floor
from fedlora.wire.ledger import Direction, Entry

Row = dict[str, Any]

DIRECTIONS: tuple[Direction, ...] = ("down", "up")
NODES, RANK = 2, 64


def federation() -> RunConfig:
    """Four clients and a newcomer on two SuperNodes, their adapters large beside the framing."""
    raw = tiny(rounds=2).model_dump(mode="json")
    raw["lora"] |= {"rank": RANK, "alpha": 2.0 * RANK}
    raw["runtime"] |= {"name": "deployment", "nodes": NODES}
    return from_dict(raw, origin="the bench")


def wire(folder: Path) -> tuple[list[Row], list[Claim]]:
    """Live one deployment on the loopback, in a new folder; its table and its claims.

    Raises:
        FedloraError: it fails.
    """
    config = federation()
    spec = open_slot(config.backbone, config.lora, config.runtime.device).spec
    began = time.perf_counter()
    running.run(config, run_folder.create_at(config, folder), Silent())
    seconds = time.perf_counter() - began
    lines = (seed_folder(folder, config.seeds[0]) / "ledger.jsonl").read_text().splitlines()
    entries = [Entry.from_line(line) for line in lines]
    relays = json.loads((folder / "deployment" / "run.json").read_text())[RELAYS]
    packs = NODES * len({(entry.phase, entry.round) for entry in entries})
    framing = Framing(NODES, packs, seconds)
    summed = [total_of(entries, way, relays, framing, spec) for way in DIRECTIONS]
    return [*lines_of(entries, spec), *summed], [c for row in summed for c in claims_of(row)]


def lines_of(entries: Iterable[Entry], spec: AdapterSpec) -> Iterator[Row]:
    """One row a client, direction, phase, round and purpose: four counts side by side.

    What did not count, a request that was sent again or an answer that was refused, is apart.
    """

    def place(entry: Entry) -> tuple[int, str, str, int, str, str]:
        return (
            entry.client,
            entry.direction,
            entry.phase,
            entry.round,
            entry.purpose,
            entry.status,
        )

    for at, same in groupby(sorted(entries, key=place), place):
        client, way, phase, round, purpose, status = at
        yield {
            "table": "wire",
            "client": client,
            "direction": way,
            "phase": phase,
            "round": round,
            "purpose": purpose,
            "status": status,
            **_counts(list(same), spec),
        }


def floor_of(entry: Entry, spec: AdapterSpec) -> int:
    """The fewest bytes for whole float32 adapters of one spec and whatever stands beside them."""
    adapters, rest = divmod(entry.payload, 4 * spec.size)
    return adapters * exact_floor(spec) + rest


def _counts(entries: Sequence[Entry], spec: AdapterSpec) -> Row:
    return {
        "messages": len(entries),
        "floor": sum(floor_of(entry, spec) for entry in entries),
        "payload": sum(entry.payload for entry in entries),
        "serialised": sum(entry.serialised for entry in entries),
        "socket": sum(entry.socket or 0 for entry in entries),
    }


def total_of(
    entries: Sequence[Entry],
    way: Direction,
    relays: Sequence[dict[str, int]],
    framing: Framing,
    spec: AdapterSpec,
) -> Row:
    """One direction: the ledger's four counts beside the relays' and the framing that may be."""
    counts = _counts([entry for entry in entries if entry.direction == way], spec)
    return {
        "table": "wire total",
        "direction": way,
        **counts,
        "relay": sum(node[way] for node in relays),
        "framing": framing.most(way, counts["serialised"]),
    }


def claims_of(row: Row) -> list[Claim]:
    """What nobody accounts for, in both senses: bytes too many, and bytes that never passed."""
    way, beyond = row["direction"], row["relay"] - row["serialised"]
    unexplained = max(beyond - row["framing"], -beyond, 0)
    unwritten = abs(row["relay"] - row["socket"])
    return [
        plain_claim(
            "A7",
            f"{way}: bytes at the relay that neither frames nor documented framing explain,"
            f" of {row['relay']:,}",
            unexplained,
            "==",
            0,
            "bytes",
        ),
        plain_claim(
            "A7",
            f"{way}: bytes at the relay that no line of the ledger has, after the last answer",
            unwritten,
            "<=",
            NODES * ALLOWED[way].pack,
            "bytes",
        ),
    ]
