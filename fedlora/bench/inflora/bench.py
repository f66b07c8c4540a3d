"""`fedlora bench inflora`: claims I1 to I4."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedlora.bench.inflora import plan
from fedlora.bench.inflora.claims import federated_claims, stream_claims
from fedlora.bench.inflora.cost import cost, growth
from fedlora.bench.inflora.families import FAMILIES, Family
from fedlora.bench.inflora.invariants import invariants
from fedlora.bench.inflora.lives import Streams
from fedlora.bench.inflora.summary import means
from fedlora.bench.kept import Kept
from fedlora.errors import FedloraError
from fedlora.registry import nearest
from fedlora.results import BenchResults, Claim, write_results
from fedlora.server.observer import Observer

TUNING_SEEDS = (100,)
"""Classes, splits and draws that thresholds are chosen by, on validation rows; never judged."""
SEEDS = (0, 1, 2, 3, 4)
BETAS = (0.5, 0.1, 0.05)
COMMAND = "make bench-inflora"

Row = dict[str, Any]


def bench_inflora(
    out: Path, observer: Observer, names: Sequence[str] = (), workers: int | None = None
) -> BenchResults:
    """Measure claims I1 to I4 and write them; streams run in processes beside each other.

    A bench that was interrupted goes on with the streams that are missing, as long as the code is
    the same.

    Args:
        out: the results file.
        observer: told how far it is.
        names: of families of I2; all where there are none.
        workers: processes at once; the number of cores when None.

    Raises:
        FedloraError: there is no family of a name, or the results cannot be written.
    """
    families = families_of(names)
    kept = Kept.of_bench("inflora", Row)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as models:
        lives = Streams(Path(models), kept, workers, observer)
        claims, rows = invariants(), list[Row]()
        for family in families:
            more_claims, more_rows = _streams(family, lives)
            claims += more_claims
            rows += more_rows
    observer.phase("cost", 1)
    for costs, timed in (cost(), growth()):
        claims += costs
        rows += [{"table": "cost", **row} for row in timed]
    observer.advance()
    every = sorted(claims, key=lambda claim: claim.id)
    command = " ".join(["fedlora bench inflora", *(f"--family {name}" for name in names)])
    seconds = time.perf_counter() - began + kept.earlier
    results = write_results(
        out, "inflora", command if names else COMMAND, rows, every, SEEDS, seconds
    )
    if not names:
        kept.clear()
    return results


def families_of(names: Sequence[str]) -> list[Family]:
    """The families of some names, in their own order; all for none.

    Raises:
        FedloraError: there is none of a name.
    """
    known = {family.name: family for family in FAMILIES}
    for name in names:
        if name not in known:
            raise FedloraError(f"--family: no '{name}'; {nearest(name, list(known))}")
    return [family for family in FAMILIES if not names or family.name in names]


def _streams(family: Family, lives: Streams) -> tuple[list[Claim], list[Row]]:
    """One family: thresholds chosen, every method judged, on one machine and federated."""
    name = family.name
    tried = lives.told(f"{name}: thresholds", plan.tuning(family, TUNING_SEEDS), table="tuning")
    chosen = plan.choose(family, tried)
    cases = plan.central(family, SEEDS, chosen)
    alone = lives.told(f"{name}: one machine", cases, table="one machine")
    claims, rows = stream_claims(alone, name), [*tried, *alone, *means(alone)]
    if family.federated:
        cases = plan.federated(family, SEEDS, chosen, BETAS)
        shared = lives.told(f"{name}: federations", cases, table="federation")
        claims += federated_claims(shared, alone, name, BETAS)
        rows += [*shared, *means(shared)]
    return claims, rows
