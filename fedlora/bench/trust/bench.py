"""`fedlora bench trust`: attacks against defences, hostile bytes, killed writers and runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fedlora.bench.by_parts import Found, Row, by_parts
from fedlora.bench.kept import Kept
from fedlora.bench.trust.claims import accuracy_claims
from fedlora.bench.trust.parts import PARTS, Session
from fedlora.bench.trust.plan import PARTS as FEDERATIONS
from fedlora.bench.trust.tables import ATTACKS, PRIVACY, attack_table, privacy_table
from fedlora.results import BenchResults
from fedlora.server.observer import Observer

SEEDS = (0, 1, 2)


def bench_trust(
    out: Path,
    only: Sequence[str],
    observer: Observer,
    seeds: tuple[int, ...] = SEEDS,
    workers: int | None = None,
) -> BenchResults:
    """Measure claims T1 to T6, and write them after each part.

    A bench that was interrupted goes on with the federations that are missing, as long as the code
    is the same. Of parts that are not measured now the file keeps what it has.

    only: names of `PARTS`; all where there are none.
    workers: federations at once; as many as there are cores when None.

    Raises:
        FedloraError: a part is unknown, or the results cannot be written.
    """
    session = Session(seeds, Kept.of_bench("trust", Row), workers, observer)

    def measure(name: str) -> Found:
        rows = PARTS[name].measure(session)
        return [{"table": name, **row} for row in rows], PARTS[name].claims(rows)

    options = "" if seeds == SEEDS else f"--seeds {len(seeds)}"
    names = list(PARTS)
    return by_parts(out, "trust", names, only, measure, seeds, session.kept, options, _together)


def _together(found: Mapping[str, Sequence[Row]]) -> Found:
    """What the rows of federations come to, all parts together."""
    lived = [row for name in FEDERATIONS for row in found.get(name, ())]
    tables = {ATTACKS: attack_table(lived), PRIVACY: privacy_table(found.get("privacy", ()))}
    rows = [{"table": name, **row} for name, rows in tables.items() for row in rows]
    return rows, accuracy_claims(lived)
