"""`fedlora bench inflora`: claims I1 to I4."""

import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedlora.bench.inflora.claims import federated_claims, stream_claims
from fedlora.bench.inflora.cost import cost
from fedlora.bench.inflora.invariants import invariants
from fedlora.bench.inflora.streams import CANDIDATES, DIGITS, FASHION, Case, Family, live
from fedlora.errors import FedloraError
from fedlora.registry import nearest
from fedlora.results import BenchResults, write_results
from fedlora.server.observer import Observer

SEEDS = (0, 1, 2)
COMMAND = "fedlora bench inflora"
BETAS = (0.5, 0.1, 0.05)
CLIENTS, ROUNDS = 5, 5
FAMILIES = (DIGITS, FASHION)

Rows = list[dict[str, Any]]


def bench_inflora(
    out: Path,
    observer: Observer,
    seeds: tuple[int, ...] = SEEDS,
    families: Sequence[Family] = FAMILIES,
    betas: Sequence[float] = BETAS,
    workers: int | None = None,
) -> BenchResults:
    """Measure claims I1 to I4 and write them; streams run in processes beside each other.

    Args:
        out: the results file.
        observer: told how far it is.
        seeds: each orders classes, splits and draws anew.
        families: of I2; the first is federated for I3.
        betas: Dirichlet concentrations of I3.
        workers: processes at once; the number of cores when None.

    Raises:
        FedloraError: the results cannot be written.
    """
    started = time.perf_counter()
    claims = invariants()
    cases = [case for family in families for case in central(family, seeds)]
    rows = _lived(cases, workers, observer, "streams on one machine")
    chosen = {(f.name, m): _best(rows, f.name, m) for f in families for m in _KEEPING}
    claims += stream_claims(rows, chosen, [family.name for family in families])
    threshold = chosen[families[0].name, "inflora"]
    shared = federated(families[0], seeds, betas, threshold)
    together = _lived(shared, workers, observer, "streams in federations")
    claims += federated_claims(together, rows, families[0].name, threshold, betas)
    observer.phase("cost", 1)
    costs, timed = cost()
    claims += costs
    observer.advance()
    elapsed = time.perf_counter() - started
    every = [*rows, *together, *timed]
    names = "".join(f" --family {family.name}" for family in families)
    command = COMMAND if len(families) == len(FAMILIES) else COMMAND + names
    return write_results(out, "inflora", command, every, claims, seeds, elapsed)


_KEEPING = ("inflora", "inflora_ca", "complement_only")


def families_of(names: Sequence[str] | None) -> list[Family]:
    """The families of some names, in their own order; all for None.

    Raises:
        FedloraError: there is none of a name.
    """
    known = {family.name: family for family in FAMILIES}
    for name in names or ():
        if name not in known:
            raise FedloraError(f"--family: no '{name}'; {nearest(name, list(known))}")
    return [family for family in FAMILIES if not names or family.name in names]


def central(family: Family, seeds: Sequence[int]) -> list[Case]:
    """Every method on one machine; those that keep a space, at every candidate threshold."""
    plain = ("seq_lora", "random_down", "subspace_only")
    cases = []
    for seed in seeds:
        cases += [Case(family, name, name, seed) for name in plain]
        cases.append(Case(family, "frozen_ca", "frozen", seed, align=True))
        cases += [Case(family, n, n, seed, threshold=t) for n in _KEEPING for t in CANDIDATES]
    return cases


def federated(
    family: Family, seeds: Sequence[int], betas: Sequence[float], threshold: float
) -> list[Case]:
    """InfLoRA and sequential LoRA, dealt by each Dirichlet beta."""
    one = Case(family, "", "", 0, clients=CLIENTS, rounds=ROUNDS)
    cases = []
    for seed in seeds:
        for beta in betas:
            here = replace(one, seed=seed, beta=beta)
            cases.append(replace(here, label="inflora", method="inflora", threshold=threshold))
            cases.append(replace(here, label="seq_lora", method="seq_lora"))
    return cases


def _best(rows: Rows, family: str, method: str) -> float:
    """The threshold of the best mean validation accuracy over seeds."""
    key = "among_final" if method.endswith("_ca") else "within_final"

    def score(threshold: float) -> float:
        found = [
            row[f"validation_{key}"]
            for row in rows
            if (row["family"], row["method"], row["threshold"]) == (family, method, threshold)
        ]
        return float(sum(found) / len(found))

    return max(CANDIDATES, key=score)


def _lived(cases: Sequence[Case], workers: int | None, observer: Observer, phase: str) -> Rows:
    """The rows of all cases, in their order."""
    observer.phase(phase, len(cases))
    rows: Rows = []
    spawned = multiprocessing.get_context("spawn")
    count = min(workers or os.cpu_count() or 1, len(cases))
    with ProcessPoolExecutor(count, mp_context=spawned) as pool:
        for row in pool.map(live, cases):
            rows.append(row)
            observer.advance()
    return rows
