"""What a journal tells a reader: files beside the bank, written again whenever a process ends."""

import json
from dataclasses import asdict
from pathlib import Path

from fedlora import atomic
from fedlora.server.journal import Journal


def export(journal: Journal, folder: Path) -> None:
    """Write ledger.jsonl, metrics.jsonl, lost.jsonl and seconds.json beside each other."""
    atomic.write_text(folder / "seconds.json", json.dumps(round(journal.seconds(), 1)))
    lost = [json.dumps(asdict(lost)) for lost in journal.lost()]
    files = {"ledger": journal.lines("ledger"), "metrics": journal.lines("metrics"), "lost": lost}
    for name, lines in files.items():
        atomic.write_text(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
