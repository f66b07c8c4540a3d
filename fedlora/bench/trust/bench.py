"""`fedlora bench trust`: attacks against defences, hostile bytes, killed writers."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch

from fedlora.bank import Bank, Record
from fedlora.bench.kept import Kept
from fedlora.bench.trust.claims import accuracy_claims, fuzz_claims, kill_claims
from fedlora.bench.trust.fuzz import ADAPTER, Found, fuzz, targets
from fedlora.bench.trust.kills import kill_writers
from fedlora.bench.trust.lives import live
from fedlora.bench.trust.plan import PARTS, Case, cases
from fedlora.bench.trust.privacy import PrivateCase, live_private, privacy_claims, private_cases
from fedlora.errors import FedloraError
from fedlora.registry import nearest
from fedlora.results import BenchResults, Claim, write_results
from fedlora.server.observer import Observer

SEEDS = (0, 1, 2)
INPUTS, KILLS = 1_000_000, 200
FUZZ, WRITES, PRIVACY = "fuzz", "kills", "privacy"
EVERY = (*PARTS, PRIVACY, FUZZ, WRITES)

Row = dict[str, Any]
C = TypeVar("C", Case, PrivateCase)


def bench_trust(
    out: Path, only: Sequence[str], observer: Observer, seeds: tuple[int, ...] = SEEDS
) -> BenchResults:
    """Measure claims T1, T2, T4 and T5, and write them after each part.

    A bench that was interrupted goes on with the federations that are missing, as long as the code
    is the same.

    only: parts of `EVERY`; all where there are none.

    Raises:
        FedloraError: a part is unknown, or the results cannot be written.
    """
    for name in only:
        if name not in EVERY:
            raise FedloraError(f"--only {name}: no such part; {nearest(name, list(EVERY))}")
    kept: Kept[Row] = Kept.of_bench("trust", Row)
    whole = not only and seeds == SEEDS
    command = " ".join(["fedlora bench trust", *(f"--only {part}" for part in only)])
    if seeds != SEEDS:
        command += f" --seeds {len(seeds)}"
    rows: list[Row] = []
    claims: list[Claim] = []
    spent = 0.0
    for part in only or EVERY:
        began = time.perf_counter()
        if part == FUZZ:
            more_claims, more_rows = _fuzzed(observer)
        elif part == WRITES:
            more_claims, more_rows = _killed(observer)
        else:
            if part == PRIVACY:
                more_rows = _lived(part, live_private, private_cases(seeds), kept, observer)
                more_claims = privacy_claims(more_rows)
            else:
                more_rows = _lived(part, live, cases(part, seeds), kept, observer)
                more_claims = accuracy_claims(more_rows)
            spent += sum(row["seconds"] for row in more_rows)
            began = time.perf_counter()
        spent += time.perf_counter() - began
        claims += more_claims
        rows += [{"table": part, **row} for row in more_rows]
        results = write_results(
            out, "trust", "make bench-trust" if whole else command, rows, claims, seeds, spent
        )
    if whole:
        kept.clear()
    return results


def _lived(
    part: str,
    life: Callable[[C], Row],
    planned: Sequence[C],
    kept: Kept[Row],
    observer: Observer,
) -> list[Row]:
    torch.set_num_threads(1)
    observer.phase(part, len(planned))
    rows = []
    for case in planned:
        row = kept.get(case.name)
        if row is None:
            began = time.perf_counter()
            row = life(case) | {"seconds": round(time.perf_counter() - began, 1)}
            kept.put(case.name, row)
        rows.append(row)
        observer.advance()
    return rows


def _fuzzed(observer: Observer) -> tuple[list[Claim], list[Row]]:
    every = targets()
    observer.phase(FUZZ, len(every))
    found: dict[str, Found] = {}
    with tempfile.TemporaryDirectory() as scratch:
        bank = _some_bank(Path(scratch))
        before = bank.digest()
        for target in every:
            found[target.name] = fuzz(target, -(-INPUTS // len(every)), 0)
            for crash in found[target.name].crashes[:3]:
                observer.note(crash)
            observer.advance()
        refused = _refused_by(bank)
        unchanged = refused and bank.digest() == before
    rows = [
        {"target": name, **asdict(one), "crashes": len(one.crashes)} for name, one in found.items()
    ]
    return fuzz_claims(found, unchanged), rows


def _some_bank(folder: Path) -> Bank:
    bank = Bank.open(folder / "bank", ADAPTER.spec, create=True)
    bank.add(Record("task", 0, 0, 0, 2, 0, {}), ADAPTER, torch.ones(3))
    return bank


def _refused_by(bank: Bank) -> bool:
    """Whether a bank refuses what no honest writer gives it."""
    record = Record("task", 1, 0, 0, 2, 0, {})
    nan = ADAPTER.up["a"] * float("nan")
    broken = type(ADAPTER)(ADAPTER.spec, ADAPTER.down, {**ADAPTER.up, "a": nan}, {})
    tries = [
        (record, broken, torch.ones(3)),
        (Record("task", 1, 0, 0, 3, 0, {}), ADAPTER, torch.ones(3)),
        (record, ADAPTER, torch.full((3,), float("nan"))),
        (record, ADAPTER, torch.ones(0)),
    ]
    refused = 0
    for attempt in tries:
        try:
            bank.add(*attempt)
        except FedloraError:
            refused += 1
    return refused == len(tries)


def _killed(observer: Observer) -> tuple[list[Claim], list[Row]]:
    observer.phase(WRITES, 1)
    with tempfile.TemporaryDirectory() as scratch:
        survived = kill_writers(Path(scratch) / "bank", KILLS, 0)
    observer.advance()
    return kill_claims(survived), [asdict(survived)]
