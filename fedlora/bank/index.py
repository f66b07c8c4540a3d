"""The bank's SQLite index: which adapter came from where, and the task vector beside it."""

import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from fedlora import atomic
from fedlora.adapter import AdapterSpec
from fedlora.bank.record import Record, StoredRecord
from fedlora.database import ERRORS
from fedlora.database import remedy as remedy_of
from fedlora.errors import FedloraError

_FORMAT = 2
_SCHEMA = (
    "CREATE TABLE bank (spec TEXT NOT NULL, checksum TEXT NOT NULL)",
    "CREATE TABLE records (task TEXT NOT NULL, client INTEGER NOT NULL, round INTEGER NOT NULL,"
    " sample INTEGER NOT NULL, rank INTEGER NOT NULL, seed INTEGER NOT NULL, metrics TEXT NOT NULL,"
    " digest TEXT NOT NULL, vector BLOB NOT NULL, checksum TEXT NOT NULL,"
    " PRIMARY KEY (task, client, round, sample, rank)) WITHOUT ROWID",
)
_COLUMNS = "task, client, round, sample, rank, seed, metrics, digest, vector, checksum"
_KEY = "task = ? AND client = ? AND round = ? AND sample = ? AND rank = ?"


class Index:
    """Rows that are added and never changed.

    Every call opens the file, does one transaction and closes it, so an index can be used from
    any thread or forked process, and a kill at any instant leaves whole transactions only.
    Every row carries a checksum, since SQLite does not notice a flipped bit in a value.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as database:
            self._check_format(database)
            self.spec = self._read_spec(database)

    @classmethod
    def create(cls, path: Path, spec: AdapterSpec) -> "Index":
        """An empty index at `path`, there whole or not at all."""
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / "index"
            with closing(sqlite3.connect(draft)) as database, database:
                for statement in _SCHEMA:
                    database.execute(statement)
                text = spec.to_json()
                database.execute("INSERT INTO bank VALUES (?, ?)", (text, _checksum(text)))
                database.execute(f"PRAGMA user_version = {_FORMAT}")
            atomic.write_bytes(path, draft.read_bytes())
        return cls(path)

    @contextmanager
    def adding(self, record: Record, digest: str, vector: bytes) -> Iterator[None]:
        """Check that the row may be added, run the block, then add the row.

        The block writes the adapter's file: it is there before its row is, and never for a row
        that was refused. A row that is there already is not added again.

        Raises:
            FedloraError: the record holds another adapter already, or the vector is of another
                size than those in the bank.
        """
        with self._open() as database, _transaction(database):
            found = database.execute(f"SELECT digest FROM records WHERE {_KEY}", record.key)
            known = found.fetchone()
            if known is not None and known[0] != digest:
                raise FedloraError(
                    f"the bank holds another adapter of task {record.task!a:.80}, client"
                    f" {record.client}, round {record.round}, sample {record.sample}, rank"
                    f" {record.rank}: it only grows, so give the new one another sample number"
                )
            _check_width(database, vector)
            yield
            if known is None:
                row = _row(record, digest, vector)
                database.execute(
                    f"INSERT INTO records ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row
                )

    def check_width(self, vector: bytes) -> None:
        """Refuse a vector of another size than those in the bank.

        Raises:
            FedloraError: it is one.
        """
        with self._open() as database:
            _check_width(database, vector)

    def rows(self) -> list[tuple[StoredRecord, bytes]]:
        """Every record with its vector's bytes, by task, client, round, sample and rank."""
        with self._open() as database:
            # SQLite compares UTF-8 byte by byte, which is the order of Python's strings.
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM records ORDER BY task, client, round, sample, rank"
            ).fetchall()
        return [self._parse(row) for row in rows]

    def vector(self, record: Record) -> bytes:
        """The vector's bytes of one record.

        Raises:
            FedloraError: there is no such record.
        """
        with self._open() as database:
            row = database.execute(
                f"SELECT {_COLUMNS} FROM records WHERE {_KEY}", record.key
            ).fetchone()
        if row is None:
            raise FedloraError(f"no adapter of {record.key!a:.120} in the bank '{self.path}'")
        return self._parse(row)[1]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            address = f"{self.path.absolute().as_uri()}?mode=rw"
            with closing(
                sqlite3.connect(address, uri=True, timeout=30, isolation_level=None)
            ) as database:
                # The journal's deletion is the commit; EXTRA forces that to the disk as well.
                database.execute("PRAGMA synchronous = EXTRA")
                database.execute("PRAGMA trusted_schema = OFF")
                database.execute("PRAGMA cell_size_check = ON")
                yield database
        except ERRORS as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> FedloraError:
        remedy = remedy_of(error)
        if remedy is not None:
            return FedloraError(f"bank index '{self.path}': {remedy}")
        return self._damaged(str(error))

    def _damaged(self, reason: str) -> FedloraError:
        return FedloraError(
            f"bank index '{self.path}' is damaged ({' '.join(reason.split()):.120}): restore it"
            " from a copy, or start a new bank and import the adapters"
        )

    def _check_format(self, database: sqlite3.Connection) -> None:
        (number,) = database.execute("PRAGMA user_version").fetchone()
        schema = database.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()
        if number != _FORMAT or schema != [(statement,) for statement in _SCHEMA]:
            raise self._damaged(f"it is not a bank of format {_FORMAT}")
        (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise self._damaged(verdict)

    def _read_spec(self, database: sqlite3.Connection) -> AdapterSpec:
        rows = database.execute("SELECT spec, checksum FROM bank").fetchall()
        if len(rows) != 1 or not isinstance(rows[0][0], str) or _checksum(rows[0][0]) != rows[0][1]:
            raise self._damaged("its spec has changed")
        return AdapterSpec.from_json(rows[0][0])

    def _parse(self, row: tuple[Any, ...]) -> tuple[StoredRecord, bytes]:
        try:
            task, client, number, sample, rank, seed, metrics, digest, vector, _ = row
            measured = json.loads(metrics)
            record = StoredRecord(task, client, number, sample, rank, seed, measured, digest)
            if _row(record, digest, vector) == row:
                return record, vector
        except (ValueError, TypeError, AttributeError, FedloraError) as error:
            raise self._damaged(f"a row cannot be read: {error}") from None
        raise self._damaged(f"the row of {record.key!a:.80} has changed")


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    """One transaction that no other writer can come between."""
    database.execute("BEGIN IMMEDIATE")
    with database:
        yield


def _check_width(database: sqlite3.Connection, vector: bytes) -> None:
    width = database.execute("SELECT length(vector) FROM records LIMIT 1").fetchone()
    if width is not None and width[0] != len(vector):
        raise FedloraError(
            f"task vector of {len(vector) // 4} values, not {width[0] // 4} as the others"
            " in the bank: use the same base model and task_vector options"
        )


def _row(record: Record, digest: str, vector: bytes) -> tuple[Any, ...]:
    metrics = json.dumps(dict(record.metrics), sort_keys=True, allow_nan=False)
    values = (*record.key, record.seed, metrics, digest)
    return (*values, vector, _checksum(json.dumps([*values, vector.hex()])))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
