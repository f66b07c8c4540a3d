"""`fedlora bench trust`: attacks against defences, hostile bytes, killed writers and runs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora.bench.chosen import chosen
from fedlora.bench.kept import Kept
from fedlora.bench.trust.claims import accuracy_claims
from fedlora.bench.trust.parts import PARTS, Row, Session
from fedlora.bench.trust.plan import PARTS as FEDERATIONS
from fedlora.bench.trust.tables import ATTACKS, PRIVACY, attack_table, privacy_table
from fedlora.results import BenchResults, is_known, read, this_commit, this_machine, write_results
from fedlora.server.observer import Observer

SEEDS = (0, 1, 2)
SPENT = "spent"
"""The table with the seconds and the commit of each part."""


@dataclass(frozen=True)
class Measured:
    """Rows of a part, the seconds that they took, and the commit of the code that measured them."""

    rows: list[Row]
    seconds: float
    commit: str


def bench_trust(
    out: Path,
    only: Sequence[str],
    observer: Observer,
    seeds: tuple[int, ...] = SEEDS,
    workers: int | None = None,
) -> BenchResults:
    """Measure claims T1 to T6, and write them after each part.

    A bench that was interrupted goes on with the federations that are missing, as long as the code
    is the same. What `out` holds of other parts, measured with the same seeds on the same machine,
    stays there, each with the commit of the code that measured it.

    only: names of `PARTS`; all where there are none.
    workers: federations at once; as many as there are cores when None.

    Raises:
        FedloraError: a part is unknown, or the results cannot be written.
    """
    parts = chosen(only, PARTS)
    session = Session(seeds, Kept.of_bench("trust", Row), workers, observer)
    found = _before(out, seeds) if only else {}
    for name in parts:
        began = time.perf_counter()
        rows = PARTS[name].measure(session)
        # A federation that was lived through before an interruption took its time then.
        lived = sum(row.get("seconds", 0.0) for row in rows)
        found[name] = Measured(rows, lived or time.perf_counter() - began, this_commit())
        results = _write(out, found, seeds)
    if not only:
        session.kept.clear()
    return results


def _before(out: Path, seeds: tuple[int, ...]) -> dict[str, Measured]:
    """What a file that was written here with these seeds has of each part.

    Of what code measured that was changed since its commit nobody knows what it was: left out.
    """
    if not out.is_file():
        return {}
    there = read(out)
    if there.seeds != seeds or there.machine != this_machine():
        return {}
    spent: dict[Any, Any] = {row["part"]: row for row in there.rows if row.get("table") == SPENT}
    found = {
        name: Measured(
            [_without_table(row) for row in there.rows if row.get("table") == name],
            spent[name]["seconds"],
            spent[name].get("commit", there.commit),
        )
        for name in PARTS
        if name in spent
    }
    return {name: own for name, own in found.items() if is_known(own.commit)}


def _without_table(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "table"}


def _write(out: Path, found: dict[str, Measured], seeds: tuple[int, ...]) -> BenchResults:
    here = {name: found[name] for name in PARTS if name in found}
    claims = accuracy_claims([r for name in FEDERATIONS if name in here for r in here[name].rows])
    rows: list[Row] = []
    for name, own in here.items():
        claims += PARTS[name].claims(own.rows)
        rows += [{"table": name, **row} for row in own.rows]
        spent = {"part": name, "seconds": round(own.seconds, 1), "commit": own.commit}
        rows.append({"table": SPENT, **spent})
    rows += _tables(here)
    command = " ".join(["fedlora bench trust", *(f"--only {name}" for name in here)])
    if seeds != SEEDS:
        command += f" --seeds {len(seeds)}"
    at_once = {own.commit for own in here.values()} == {this_commit()}
    if at_once and list(here) == list(PARTS) and seeds == SEEDS:
        command = "make bench-trust"
    seconds = sum(own.seconds for own in here.values())
    return write_results(out, "trust", command, rows, claims, seeds, seconds)


def _tables(found: dict[str, Measured]) -> list[Row]:
    """What the rows of federations come to, all parts together."""
    lived = [row for name in FEDERATIONS if name in found for row in found[name].rows]
    private = found["privacy"].rows if "privacy" in found else ()
    tables = {ATTACKS: attack_table(lived), PRIVACY: privacy_table(private)}
    return [{"table": name, **row} for name, rows in tables.items() for row in rows]
