"""`fedlora bench trust`: attacks against defences, hostile bytes, killed writers and runs."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedlora.bench.chosen import chosen
from fedlora.bench.kept import Kept
from fedlora.bench.trust.claims import accuracy_claims
from fedlora.bench.trust.parts import PARTS, Row, Session
from fedlora.bench.trust.plan import PARTS as FEDERATIONS
from fedlora.bench.trust.tables import ATTACKS, PRIVACY, attack_table, privacy_table
from fedlora.results import BenchResults, Claim, read, this_commit, this_machine, write_results
from fedlora.server.observer import Observer

SEEDS = (0, 1, 2)
SPENT = "spent"
"""The table with the seconds of each part."""


def bench_trust(
    out: Path,
    only: Sequence[str],
    observer: Observer,
    seeds: tuple[int, ...] = SEEDS,
    workers: int | None = None,
) -> BenchResults:
    """Measure claims T1 to T6, and write them after each part.

    A bench that was interrupted goes on with the federations that are missing, as long as the code
    is the same. What `out` holds of other parts, measured by the same code with the same seeds on
    the same machine, stays there.

    only: names of `PARTS`; all where there are none.
    workers: federations at once; as many as there are cores when None.

    Raises:
        FedloraError: a part is unknown, or the results cannot be written.
    """
    parts = chosen(only, PARTS)
    session = Session(seeds, Kept.of_bench("trust", Row), workers, observer)
    rows = _before(out, seeds) if only else {}
    for name in parts:
        began = time.perf_counter()
        found = PARTS[name].measure(session)
        # A federation that was lived through before an interruption took its time then.
        lived = sum(row.get("seconds", 0.0) for row in found)
        rows[name] = (found, lived or time.perf_counter() - began)
        results = _write(out, rows, seeds)
    if not only:
        session.kept.clear()
    return results


def _before(out: Path, seeds: tuple[int, ...]) -> dict[str, tuple[list[Row], float]]:
    """Rows and seconds of the parts in a file that this code wrote here; none of another's."""
    if not out.is_file():
        return {}
    there, commit = read(out), this_commit()
    known = commit.isalnum() and commit != "unknown"
    if not known or (there.commit, there.seeds) != (commit, seeds):
        return {}
    if there.machine != this_machine():
        return {}
    spent: dict[Any, Any] = {
        row["part"]: row["seconds"] for row in there.rows if row.get("table") == SPENT
    }
    return {
        name: ([_without_table(row) for row in there.rows if row.get("table") == name], spent[name])
        for name in PARTS
        if name in spent
    }


def _without_table(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "table"}


def _write(
    out: Path, found: dict[str, tuple[list[Row], float]], seeds: tuple[int, ...]
) -> BenchResults:
    rows: list[Row] = []
    claims: list[Claim] = []
    here = [name for name in PARTS if name in found]
    claims += accuracy_claims([row for name in FEDERATIONS for row in found.get(name, ([], 0))[0]])
    for name in here:
        own, seconds = found[name]
        claims += PARTS[name].claims(own)
        rows += [{"table": name, **row} for row in own]
        rows.append({"table": SPENT, "part": name, "seconds": round(seconds, 1)})
    rows += _tables({name: own for name, (own, _) in found.items()})
    command = " ".join(["fedlora bench trust", *(f"--only {name}" for name in here)])
    if seeds != SEEDS:
        command += f" --seeds {len(seeds)}"
    whole = here == list(PARTS) and seeds == SEEDS
    spent = sum(seconds for _, seconds in found.values())
    return write_results(
        out, "trust", "make bench-trust" if whole else command, rows, claims, seeds, spent
    )


def _tables(found: dict[str, list[Row]]) -> list[Row]:
    """What the rows of federations come to, all parts together."""
    lived = [row for name in FEDERATIONS for row in found.get(name, ())]
    tables = {ATTACKS: attack_table(lived), PRIVACY: privacy_table(found.get("privacy", ()))}
    return [{"table": name, **row} for name, rows in tables.items() for row in rows]
