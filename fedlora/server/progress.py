"""How far a run is, read from its journal by somebody who only looks on."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fedlora.database import ERRORS
from fedlora.errors import FedloraError
from fedlora.phases import PHASES


@dataclass(frozen=True)
class Progress:
    """One seed of a run, as it stands.

    phase, round: the latest that anybody has answered in; empty and 0 before the first answer.
    answers: good ones, of that round; the round's lost are in `lost`.
    lost: contributions that did not count, over all rounds; `last_error` says why the latest.
    down, up: bytes of all messages so far.
    """

    phase: str = ""
    round: int = 0
    answers: int = 0
    lost: int = 0
    last_error: str = ""
    down: int = 0
    up: int = 0


def progress(folder: Path) -> Progress:
    """What the journal of a seed's folder tells; nothing yet where there is none.

    Raises:
        FedloraError: the journal cannot be read.
    """
    file = folder / "checkpoints" / "journal.sqlite"
    if not file.is_file():
        return Progress()
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5.0)) as db:
            return _read(db)
    except ERRORS as error:
        raise FedloraError(f"{file}: cannot be read ({error})") from None


def _read(db: sqlite3.Connection) -> Progress:
    rounds = db.execute(
        "select phase, round, sum(error = ''), sum(error != '') from answers group by phase, round"
    ).fetchall()
    if not rounds:
        return Progress()
    phase, round, good, _ = max(rounds, key=lambda row: (_place(row[0]), row[1]))
    errors = db.execute("select phase, round, error from answers where error != ''").fetchall()
    last = max(errors, key=lambda row: (_place(row[0]), row[1]), default=("", 0, ""))
    lines = [json.loads(x) for (x,) in db.execute("select line from lines where file = 'ledger'")]
    down, up = (
        sum(line["serialised"] for line in lines if line["direction"] == direction)
        for direction in ("down", "up")
    )
    return Progress(phase, round, good, sum(row[3] for row in rounds), last[2], down, up)


def _place(phase: str) -> int:
    return PHASES.index(phase) if phase in PHASES else len(PHASES)
