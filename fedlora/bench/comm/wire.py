"""Claim A7: the ledger of a deployment beside its relays' counts, another run, and the floor."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from fedlora.adapter import AdapterSpec
from fedlora.backbone import open_slot
from fedlora.bench.claims import plain_claim
from fedlora.bench.comm.messages import federation, ledger_of
from fedlora.results import Claim
from fedlora.runtime.deployment import RELAYS
from fedlora.runtime.framing import ALLOWED, Framing
from fedlora.wire.floor import exact_floor
from fedlora.wire.ledger import Direction, Entry

Row = dict[str, Any]

DIRECTIONS: tuple[Direction, ...] = ("down", "up")
NODES = 2
SHARED_OUT = "socket (shared out)"
"""What the relays counted, dealt to the ledger's lines in proportion to their frames."""


def wire(folder: Path) -> tuple[list[Row], list[Claim]]:
    """Live one deployment on the loopback, and the same in this process, in new folders of one;
    the deployment's table, and the claims.

    Raises:
        FedloraError: it fails.
    """
    config = federation(name="deployment", nodes=NODES)
    spec = open_slot(config.backbone, config.lora, config.runtime.device).spec
    began = time.perf_counter()
    entries = ledger_of(config, folder / "deployed")
    seconds = time.perf_counter() - began
    expected = ledger_of(federation(name="inprocess"), folder / "in process")
    relays = json.loads((folder / "deployed" / "deployment" / "run.json").read_text())[RELAYS]
    packs = NODES * len({(entry.phase, entry.round) for entry in entries})
    framing = Framing(NODES, packs, seconds)
    summed = [total_of(entries, way, relays, framing, spec) for way in DIRECTIONS]
    claims = [claim for row in summed for claim in claims_of(row)]
    claims += [count_claim(entries, expected, way) for way in DIRECTIONS]
    return [*lines_of(entries, spec), *summed], claims


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
        SHARED_OUT: sum(entry.socket or 0 for entry in entries),
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
    """What nobody accounts for, in both senses: bytes too many, and bytes that never passed.

    The ledger's socket bytes are the relays' own, so the second shows that all of them were shared
    out, not that they were counted well.
    """
    way, beyond = row["direction"], row["relay"] - row["serialised"]
    unexplained = max(beyond - row["framing"], -beyond, 0)
    unwritten = abs(row["relay"] - row[SHARED_OUT])
    return [
        plain_claim(
            "A7",
            f"{way}: bytes that relays counted beside the ledger's frames, {beyond:,} of"
            f" {row['relay']:,}, and Flower's framing does not allow, which is {row['framing']:,}",
            unexplained,
            "==",
            0,
            "bytes",
        ),
        plain_claim(
            "A7",
            f"{way}: bytes that relays counted and no line of the ledger has a share of, as no"
            " answer came after them",
            unwritten,
            "<=",
            NODES * ALLOWED[way].pack,
            "bytes",
        ),
    ]


def count_claim(entries: Iterable[Entry], expected: Iterable[Entry], way: Direction) -> Claim:
    """Messages too many or too few in one direction, purpose by purpose, beside another run's."""
    found, wanted = (
        Counter(entry.purpose for entry in run if entry.direction == way)
        for run in (entries, expected)
    )
    told = ", ".join(f"{wanted[purpose]} {purpose}" for purpose in sorted(wanted))
    what = f"{way}: messages more or less than the same run has in one process, which are {told}"
    differ = sum(abs(found[purpose] - wanted[purpose]) for purpose in found | wanted)
    return plain_claim("A7", what, differ, "==", 0, "messages")
