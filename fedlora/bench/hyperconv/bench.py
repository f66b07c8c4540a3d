"""Claims H1 to H5: does it listen, is it worth it, what does it cost, what does it catch."""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fedlora.bench.chosen import chosen
from fedlora.bench.hyperconv import commonsense, dry_run, quality, speed
from fedlora.bench.hyperconv.families import FAMILIES, make
from fedlora.evaluation.table import Row
from fedlora.results import BenchResults, Claim, write_results
from fedlora.server.observer import Observer

PARTS = (*FAMILIES, "speed", "dry-run", "commonsense")
SEEDS = (0,)


def bench_hyperconv(out: Path, only: Sequence[str], observer: Observer) -> BenchResults:
    """Measure the claims of the parts named, all when none is, and write them.

    Raises:
        FedloraError: there is no such part, its data is missing, or the file cannot be written.
    """
    parts = chosen(only, PARTS)
    started, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    claims: list[Claim] = []
    try:
        for part in parts:
            more_rows, more_claims = measure(part, observer)
            rows += more_rows
            claims += more_claims
    finally:
        torch.set_num_threads(threads)
    command = (
        "make bench-hyperconv"
        if not only
        else " ".join(["fedlora bench hyperconv", *(f"--only {part}" for part in only)])
    )
    claims.sort(key=lambda claim: claim.id)
    return write_results(
        out, "hyperconv", command, rows, claims, SEEDS, time.perf_counter() - started
    )


def measure(part: str, observer: Observer) -> tuple[list[dict[str, Any]], list[Claim]]:
    """Rows and claims of one part."""
    if part in FAMILIES:
        return _quality(part, observer)
    if part == "commonsense":
        return commonsense.measure(observer)
    observer.phase(part, 1)
    return [], _speed() if part == "speed" else _dry_run()


def _quality(family: str, observer: Observer) -> tuple[list[dict[str, Any]], list[Claim]]:
    found: list[Row] = []
    rows: list[dict[str, Any]] = []
    claims: list[Claim] = []
    for seed in SEEDS:
        made = make(family, seed, observer)
        fitted = quality.fit_all(made, seed, observer)
        found += quality.table(made, fitted, seed, observer)
        if (prompted := fitted.get("hyperconv, prompts")) is not None:
            heard = quality.listening(made, prompted)
            rows.append({"table": "listening", "family": family, "seed": seed, **heard})
    heard_rows = [row for row in rows if row["table"] == "listening"]
    if heard_rows:
        claims += _listening(family, heard_rows)
    methods = [name for name in fitted if name.startswith("hyperconv")]
    for method in methods:
        rivals = ("mean", "nearest", "topk", "ridge", "cvae", f"{method}, shuffled")
        claims += [quality.beyond(family, found, method, rival) for rival in rivals]
    return rows + quality.as_rows(family, found), claims


def _listening(family: str, rows: Sequence[dict[str, Any]]) -> list[Claim]:
    own, shuffled, chance = (
        statistics.fmean(row[key] for row in rows) for key in ("own", "shuffled", "chance")
    )
    what = f"{family}: unseen prompt groups whose adapter is nearest to their own task's"
    return [
        Claim(id="H1", what=what, value=own, sense=">=", target=0.9),
        Claim(
            id="H1", what=f"{what}, prompts shuffled between tasks (chance {chance:.3f})",
            value=shuffled, sense="<=", target=2 * chance,
        ),
    ]  # fmt: skip


def _speed() -> list[Claim]:
    with tempfile.TemporaryDirectory() as scratch:
        milliseconds = speed.generation(Path(scratch))
    more = statistics.median(speed.overhead())
    seconds = speed.tokenising()
    return [
        Claim(id="H4", what="CPU time of the harness over a bare loop's, median of 3 turns",
              value=more, unit="%", sense="<=", target=15),
        Claim(id="H4", what="tokenising 1,000 adapters of 200,704 values, CPU time",
              value=seconds, unit="s", sense="<=", target=10),
        Claim(id="H4", what="one adapter for MiniLM at r 8, CPU time on one core",
              value=milliseconds, unit="ms", sense="<=", target=50),
    ]  # fmt: skip


def _dry_run() -> list[Claim]:
    with tempfile.TemporaryDirectory() as scratch:
        config = dry_run.lay_out(Path(scratch))
        dry_run.dry_run(config)
        seconds = dry_run.dry_run(config)
        caught, planted = dry_run.found(Path(scratch))
    return [
        Claim(id="H5", what="a dry run over 24 MiniLM checkpoints, CPU time, imports apart",
              value=seconds, unit="s", sense="<=", target=5),
        Claim(id="H5", what=f"of {planted} planted mistakes, found by a dry run",
              value=caught, sense="==", target=planted),
    ]  # fmt: skip
