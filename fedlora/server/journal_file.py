"""The file of a journal: SQLite, with checksums, and one line for whatever is wrong with it."""

import sqlite3
from hashlib import sha256
from pathlib import Path
from typing import Any

from fedlora import database
from fedlora.errors import FedloraError

SCHEMA = """
create table if not exists answers (
    phase text, round integer, client integer, frame blob, checksum blob, error text not null,
    misfit integer not null default 0,
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

Place = tuple[str | int, ...]
"""Phase and round, and the client of an answer."""


class JournalFile:
    """Reads and writes rows, each transaction whole or not at all.

    What was written survives a kill at any moment. A machine that loses power may lose the latest
    rows that are not sealed yet.
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
        except (*database.ERRORS, OSError) as error:
            raise self._refused(error) from None
        try:
            # In a write-ahead log an answer costs no wait for the disk; not every disk has one.
            (mode,) = self._db.execute("pragma journal_mode = wal").fetchone()
            self._db.execute(f"pragma synchronous = {'normal' if mode == 'wal' else 'full'}")
            self._db.executescript(SCHEMA)
        except database.ERRORS as error:
            # Left to the garbage collector it would write to the file whenever that comes by.
            self._db.close()
            raise self._refused(error) from None

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def seal(self) -> None:
        """Wait until all that was written is on the disk."""
        self.read("pragma wal_checkpoint(full)")

    def read(self, query: str, *values: Any, kinds: tuple[type, ...] | None = None) -> list[Any]:
        """The rows of a query, each of values of these kinds where they are given.

        Raises:
            FedloraError: the file is damaged, or the disk refuses it.
        """
        try:
            rows = self._db.execute(query, values).fetchall()
        except database.ERRORS as error:
            raise self._refused(error) from None
        if kinds and not all(
            isinstance(v, kind) for row in rows for v, kind in zip(row, kinds, strict=True)
        ):
            raise self._damaged("a value is of another type")
        return rows

    def write(self, *statements: tuple[str, list[tuple[Any, ...]]]) -> None:
        """Run each statement for each of its rows, all in one transaction.

        Raises:
            FedloraError: the file is damaged, or the disk refuses it.
        """
        try:
            with self._db:
                for statement, rows in statements:
                    self._db.executemany(statement, rows)
        except database.ERRORS as error:
            raise self._refused(error) from None

    def sound(self, place: Place, value: bytes | None, checksum: bytes | None) -> bytes:
        """A value that was read with its checksum.

        Raises:
            FedloraError: it is not what was written.
        """
        if not isinstance(value, bytes) or checksum_of(place, value) != checksum:
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


def checksum_of(place: Place, value: bytes | None) -> bytes | None:
    """Of a value and where it belongs, so that it cannot be taken for another's."""
    return None if value is None else sha256(repr(place).encode() + value).digest()
