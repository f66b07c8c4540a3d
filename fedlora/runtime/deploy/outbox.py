"""What a client has worked out, kept until the server has it."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from fedlora.runtime.deploy.own import VARIABLE as OWN
from fedlora.runtime.pack import RequestPack
from fedlora.wire.exchange import Answer, Reply, Request

_SCHEMA = """
create table if not exists kept (
    key blob primary key, run text, client integer, at real, frame blob not null
) without rowid;
"""
_DAYS = 14
_WAIT = 10.0


class Outbox:
    """Answers by what was asked, in a file (SQLite).

    An answer follows from the configuration, the seed, the client and the frame alone, so a
    server that lost it and asks the same again gets the same bytes without the work. A client's
    next question of the same run says that the server has the answers before.

    What cannot be kept, on a full disk for one, is answered all the same.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def answer(self, asked: RequestPack, answer: Answer) -> list[Reply]:
        """One reply for each request, in order; `answer` works out what is not kept."""
        keys = [_key(asked, request) for request in asked.requests]
        kept: dict[bytes, bytes] = {}
        with suppress(sqlite3.Error, OSError):
            kept = self._read(asked, keys)
        left = [r for r, key in zip(asked.requests, keys, strict=True) if key not in kept]
        made = iter(answer(left) if left else [])
        replies = [
            Reply(request.client, kept[key]) if key in kept else next(made)
            for request, key in zip(asked.requests, keys, strict=True)
        ]
        with suppress(sqlite3.Error, OSError):
            self._write(asked, keys, replies)
        return replies

    def _read(self, asked: RequestPack, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The kept answers; the older ones of the same clients are let go."""
        kept: dict[bytes, bytes] = {}
        with self._open() as db:
            for request, key in zip(asked.requests, keys, strict=True):
                found = db.execute("select frame from kept where key = ?", (key,)).fetchone()
                if found is not None:
                    kept[key] = bytes(found[0])
                db.execute(
                    "delete from kept where run = ? and client = ? and key != ?",
                    (asked.origin.run, request.client, key),
                )
            db.execute("delete from kept where at < ?", (time.time() - 86400 * _DAYS,))
        return kept

    def _write(self, asked: RequestPack, keys: Sequence[bytes], replies: Sequence[Reply]) -> None:
        with self._open() as db:
            db.executemany(
                "insert or ignore into kept values (?, ?, ?, ?, ?)",
                [
                    (key, asked.origin.run, reply.client, time.time(), reply.frame)
                    for key, reply in zip(keys, replies, strict=True)
                    if reply.frame is not None
                ],
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=_WAIT)) as db, db:
            db.executescript(_SCHEMA)
            yield db


def _key(asked: RequestPack, request: Request) -> bytes:
    """What an answer depends on, and the run, so that another run of the same asks anew."""
    total = hashlib.sha256()
    own = os.environ.get(OWN, "")  # this machine's data and base model, by path
    asked_of = (asked.origin.run, asked.config, str(asked.seed), str(request.client))
    for part in (version("fedlora"), own, *asked_of):
        total.update(f"{len(part)}:{part}".encode())
    total.update(request.frame)
    return total.digest()
