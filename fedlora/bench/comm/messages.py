"""Claim A4: what the messages of a run weigh beside the values that they carry."""

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from fedlora import run_folder
from fedlora.bench.claims import plain_claim
from fedlora.bench.deploy.bench import tiny
from fedlora.config import RunConfig, from_dict
from fedlora.results import Claim
from fedlora.run_folder import seed_folder
from fedlora.runtime import run as running
from fedlora.server.observer import Silent
from fedlora.wire.ledger import Entry

RANK = 64
LARGE = 100_000
"""Bytes of values from which on what stands around them is to weigh nothing."""
CODECS = ("none", "int8")


def federation(**runtime: Any) -> RunConfig:
    """Four clients and a newcomer, whose adapters are large beside what carries them."""
    raw = tiny(rounds=2).model_dump(mode="json")
    raw["lora"] |= {"rank": RANK, "alpha": 2.0 * RANK}
    raw["runtime"] |= runtime
    return from_dict(raw, origin="the bench")


def ledger_of(config: RunConfig, folder: Path) -> list[Entry]:
    """Live a run in a new folder, and read what its messages were.

    Raises:
        FedloraError: it fails.
    """
    running.run(config, run_folder.create_at(config, folder), Silent())
    lines = (seed_folder(folder, config.seeds[0]) / "ledger.jsonl").read_text().splitlines()
    return [Entry.from_line(line) for line in lines]


def message_claims() -> list[Claim]:
    """Payload as a share of the serialised message, in the ledgers of runs in this process."""
    claims = []
    for name in CODECS:
        raw = federation(name="inprocess").model_dump(mode="json") | {"codec": {"name": name}}
        with tempfile.TemporaryDirectory() as scratch:
            entries = ledger_of(from_dict(raw, origin="the bench"), Path(scratch) / "run")
        claims += share_claims(name, entries)
    return claims


def share_claims(codec: str, entries: list[Entry]) -> list[Claim]:
    """One a purpose and direction that has large messages, of the one whose values weigh least."""
    large: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.payload >= LARGE:
            large[entry.purpose, entry.direction].append(entry)
    claims = []
    for (purpose, way), same in sorted(large.items()):
        worst = min(same, key=lambda entry: entry.payload / entry.serialised)
        size = f"{worst.serialised / 1e3:,.0f} KB, the least of {len(same)}"
        what = f"payload / serialised, {codec}, {purpose} {way}, {size}"
        claims.append(plain_claim("A4", what, worst.payload / worst.serialised, ">=", 0.99))
    return claims
