"""What a run has already learned, so that a killed run goes on instead of starting over.

The story of a run is a deterministic function of the answers it received. So the answers are
all that must survive: a resumed run tells the same story again and takes from here what is
here, asking only for the rest.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from fedlora import atomic, database
from fedlora.errors import FedloraError
from fedlora.wire.ledger import Entry

SCHEMA = """
create table if not exists answers (
    phase text, round integer, client integer, frame blob, checksum blob, error text not null,
    primary key (phase, round, client)
) without rowid;
create table if not exists lines (
    file text, phase text, round integer, client integer, number integer, line text not null,
    primary key (file, phase, round, client, number)
) without rowid;
create table if not exists outcomes (
    phase text, round integer, value blob not null, checksum blob not null,
    primary key (phase, round)
) without rowid;
"""


MISFIT = "does not fit the others: "
"""How the reason begins why an answer that was good by itself is lost."""


Place = tuple[str | int, ...]
"""Phase and round, and the client of an answer."""


@dataclass(frozen=True)
class Answer:
    """One client's answer in one round: a frame, or why there is none."""

    frame: bytes | None
    error: str


@dataclass(frozen=True)
class Lost:
    """A contribution that did not count, and why."""

    phase: str
    round: int
    client: int
    reason: str


class Journal:
    """Answers and outcomes of one run, each written whole or not at all (SQLite).

    Frames and outcomes carry checksums, since SQLite does not notice a flipped bit in a value.
    What was written survives a kill at any moment. A machine that loses power may lose the latest
    answers of a round that is not sealed yet, which are then asked for again.
    """

    def __init__(self, file: Path) -> None:
        """Open or create.

        Raises:
            FedloraError: the file is not a journal, or the disk refuses it.
        """
        self._file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file, check_same_thread=False)
            # In a write-ahead log an answer costs no wait for the disk; not every disk has one.
            (mode,) = self._db.execute("pragma journal_mode = wal").fetchone()
            self._db.execute(f"pragma synchronous = {'normal' if mode == 'wal' else 'full'}")
            self._db.executescript(SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise self._refused(error) from None

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def answers(self, phase: str, round: int) -> dict[int, str]:
        """Who has answered in a round, in order: client -> why the answer is lost, or ""."""
        rows = self._read(
            "select client, error from answers where phase = ? and round = ? order by client",
            phase,
            round,
        )
        return {int(client): str(error) for client, error in rows}

    def frame(self, phase: str, round: int, client: int) -> bytes:
        """One good answer of a round that is not concluded.

        Raises:
            FedloraError: it is not what was written.
        """
        query = "select frame, checksum from answers where phase = ? and round = ? and client = ?"
        rows = self._read(query, phase, round, client)
        return self._sound((phase, round, client), *(rows[0] if rows else (None, None)))

    def seal(self) -> None:
        """Wait until all that was written is on the disk."""
        self._read("pragma wal_checkpoint(full)")

    def lost(self) -> list[Lost]:
        """Every contribution that failed, by phase, round and client."""
        rows = self._read(
            "select phase, round, client, error from answers where error != ''"
            " order by phase, round, client"
        )
        return [Lost(*row) for row in rows]

    def record(
        self,
        phase: str,
        round: int,
        client: int,
        answer: Answer,
        entries: Iterable[Entry],
        metrics: Mapping[str, Any] | None,
    ) -> None:
        """Keep an answer with its lines of the ledger and of the metrics, in one transaction."""
        # A round that is asked again goes on counting: what was sent before was sent.
        query = (
            "select count(*) from lines where file = 'ledger'"
            " and phase = ? and round = ? and client = ?"
        )
        place = phase, round, client
        first = int(self._read(query, *place)[0][0])
        lines = [("ledger", number, entry.to_line()) for number, entry in enumerate(entries, first)]
        if metrics is not None:
            about = {"phase": phase, "round": round, "client": client}
            lines.append(("metrics", 0, json.dumps({**metrics, **about})))
        self._write(
            (
                "insert into answers values (?, ?, ?, ?, ?, ?)",
                [(*place, answer.frame, _checksum(place, answer.frame), answer.error)],
            ),
            (
                "insert or replace into lines values (?, ?, ?, ?, ?, ?)",
                [(file, *place, number, line) for file, number, line in lines],
            ),
        )

    def refuse(self, phase: str, round: int, client: int, reason: str) -> None:
        """Turn an answer that was good by itself into a lost one, the round seen as a whole."""
        self._write(
            (
                "update answers set frame = null, error = ?"
                " where phase = ? and round = ? and client = ?",
                [(f"{MISFIT}{reason}", phase, round, client)],
            ),
        )

    def forget_lost(self, phase: str, round: int) -> None:
        """Let a round that failed ask again those that gave no good answer."""
        place = [(phase, round)]
        self._write(
            ("delete from answers where phase = ? and round = ? and error != ''", place),
        )

    def outcome(self, phase: str, round: int) -> bytes | None:
        """What a finished round came to.

        Raises:
            FedloraError: it is not what was written.
        """
        query = "select value, checksum from outcomes where phase = ? and round = ?"
        rows = self._read(query, phase, round)
        return self._sound((phase, round), *rows[0]) if rows else None

    def conclude(self, phase: str, round: int, value: bytes) -> None:
        """Keep what a round came to, and let go of the frames that led there."""
        self._write(
            (
                "insert or replace into outcomes values (?, ?, ?, ?)",
                [(phase, round, value, _checksum((phase, round), value))],
            ),
            ("update answers set frame = null where phase = ? and round = ?", [(phase, round)]),
        )

    def add_metrics(self, phase: str, number: int, line: Mapping[str, Any]) -> None:
        """Keep a phase's own line of the metrics, one that no client's answer brought."""
        text = json.dumps({**line, "phase": phase})
        self._write(
            (
                "insert or replace into lines values ('metrics', ?, 0, -1, ?, ?)",
                [(phase, number, text)],
            ),
        )

    def add_seconds(self, seconds: float) -> None:
        """Add the wall time of one process; one that is killed adds nothing."""
        self.conclude("seconds", 0, str(self.seconds() + seconds).encode())

    def seconds(self) -> float:
        """Wall time of all processes so far."""
        return float(self.outcome("seconds", 0) or b"0")

    def lines(self, file: str) -> list[str]:
        """Every line of `ledger` or `metrics`, by phase, round and client."""
        rows = self._read(
            "select line from lines where file = ? order by phase, round, client, number", file
        )
        return [line for (line,) in rows]

    def export(self, folder: Path) -> None:
        """Write ledger.jsonl, metrics.jsonl, lost.jsonl and seconds.json beside each other."""
        atomic.write_text(folder / "seconds.json", json.dumps(round(self.seconds(), 1)))
        lost = [json.dumps(asdict(lost)) for lost in self.lost()]
        files = {"ledger": self.lines("ledger"), "metrics": self.lines("metrics"), "lost": lost}
        for name, lines in files.items():
            atomic.write_text(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))

    def _read(self, query: str, *values: Any) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._refused(error) from None

    def _write(self, *statements: tuple[str, list[tuple[Any, ...]]]) -> None:
        try:
            with self._db:
                for statement, rows in statements:
                    self._db.executemany(statement, rows)
        except sqlite3.Error as error:
            raise self._refused(error) from None

    def _sound(self, place: Place, value: bytes | None, checksum: bytes | None) -> bytes:
        if not isinstance(value, bytes) or _checksum(place, value) != checksum:
            raise self._damaged("a value has changed")
        return value

    def _refused(self, error: Exception) -> FedloraError:
        remedy = database.remedy(error)
        if remedy is None:
            return self._damaged(str(error))
        return FedloraError(f"run's journal '{self._file}': {remedy}")

    def _damaged(self, reason: str) -> FedloraError:
        return FedloraError(
            f"run's journal '{self._file}' is damaged ({' '.join(reason.split()):.120}): restore it"
            " from a copy, or delete it and resume, and the clients are asked again"
        )


def _checksum(place: Place, value: bytes | None) -> bytes | None:
    """Of a value and where it belongs, so that it cannot be taken for another's."""
    return None if value is None else sha256(repr(place).encode() + value).digest()
