"""What a run has already learned, so that a killed run goes on instead of starting over.

The story of a run is a deterministic function of the answers it received. So the answers are
all that must survive: a resumed run tells the same story again and takes from here what is
here, asking only for the rest.
"""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora.server.journal_file import JournalFile, checksum_of
from fedlora.wire.ledger import Entry


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
        self._file = JournalFile(file)
        self._counted = time.perf_counter()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def answers(self, phase: str, round: int) -> dict[int, str]:
        """Who has answered in a round, in order: client -> why the answer is lost, or ""."""
        rows = self._file.read(
            "select client, error from answers where phase = ? and round = ? order by client",
            phase,
            round,
            kinds=(int, str),
        )
        return dict(rows)

    def misfits(self, phase: str, round: int) -> set[int]:
        """Whose answers in a round were good by themselves, but were refused beside the others."""
        query = "select client from answers where phase = ? and round = ? and misfit"
        return {client for (client,) in self._file.read(query, phase, round, kinds=(int,))}

    def frame(self, phase: str, round: int, client: int) -> bytes:
        """One good answer of a round that is not concluded.

        Raises:
            FedloraError: it is not what was written.
        """
        query = "select frame, checksum from answers where phase = ? and round = ? and client = ?"
        rows = self._file.read(query, phase, round, client)
        return self._file.sound((phase, round, client), *(rows[0] if rows else (None, None)))

    def seal(self) -> None:
        """Wait until all that was written is on the disk."""
        self.keep_time()
        self._file.seal()

    def lost(self) -> list[Lost]:
        """Every contribution that failed, by phase, round and client."""
        rows = self._file.read(
            "select phase, round, client, error from answers where error != ''"
            " order by phase, round, client",
            kinds=(str, int, int, str),
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
        first = int(self._file.read(query, *place)[0][0])
        lines = [("ledger", number, entry.to_line()) for number, entry in enumerate(entries, first)]
        if metrics is not None:
            about = {"phase": phase, "round": round, "client": client}
            lines.append(("metrics", 0, json.dumps({**metrics, **about})))
        self._file.write(
            (
                "insert into answers values (?, ?, ?, ?, ?, ?, 0)",
                [(*place, answer.frame, checksum_of(place, answer.frame), answer.error)],
            ),
            (
                "insert or replace into lines values (?, ?, ?, ?, ?, ?)",
                [(file, *place, number, line) for file, number, line in lines],
            ),
        )

    def refuse(self, phase: str, round: int, client: int, reason: str) -> None:
        """Turn an answer that was good by itself into a lost one, the round seen as a whole."""
        self._file.write(
            (
                "update answers set frame = null, error = ?, misfit = 1"
                " where phase = ? and round = ? and client = ?",
                [(f"does not fit the others: {reason}", phase, round, client)],
            ),
        )

    def forget_lost(self, phase: str, round: int) -> None:
        """Let a round that failed ask again those that gave no good answer."""
        place = [(phase, round)]
        self._file.write(
            ("delete from answers where phase = ? and round = ? and error != ''", place),
        )

    def outcome(self, phase: str, round: int) -> bytes | None:
        """What a finished round came to.

        Raises:
            FedloraError: it is not what was written.
        """
        query = "select value, checksum from outcomes where phase = ? and round = ?"
        rows = self._file.read(query, phase, round)
        return self._file.sound((phase, round), *rows[0]) if rows else None

    def conclude(self, phase: str, round: int, value: bytes) -> None:
        """Keep what a round came to, and let go of the frames that led there."""
        self.conclude_all({(phase, round): value})

    def conclude_all(self, values: Mapping[tuple[str, int], bytes]) -> None:
        """Keep what several (phase, round) came to, all or nothing."""
        self._file.write(
            (
                "insert or replace into outcomes values (?, ?, ?, ?)",
                [(*place, value, checksum_of(place, value)) for place, value in values.items()],
            ),
            ("update answers set frame = null where phase = ? and round = ?", list(values)),
        )

    def add_metrics(self, phase: str, number: int, line: Mapping[str, Any]) -> None:
        """Keep a phase's own line of the metrics, one that no client's answer brought."""
        text = json.dumps({**line, "phase": phase})
        self._file.write(
            (
                "insert or replace into lines values ('metrics', ?, 0, -1, ?, ?)",
                [(phase, number, text)],
            ),
        )

    def keep_time(self) -> None:
        """Add the wall time since the last call, or since the journal was opened."""
        now = time.perf_counter()
        self.conclude("seconds", 0, str(self.seconds() + now - self._counted).encode())
        self._counted = now

    def seconds(self) -> float:
        """Wall time of all processes; of one that was killed, up to its last sealed round."""
        return float(self.outcome("seconds", 0) or b"0")

    def lines(self, file: str) -> list[str]:
        """Every line of `ledger` or `metrics`, by phase, round and client."""
        rows = self._file.read(
            "select line from lines where file = ? order by phase, round, client, number",
            file,
            kinds=(str,),
        )
        return [line for (line,) in rows]
