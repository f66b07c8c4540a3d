"""Claims H1 to H5: does it listen, is it worth it, what does it cost, what does it catch."""

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from fedlora.bench.by_parts import Found, Row, by_parts
from fedlora.bench.claims import plain_claim
from fedlora.bench.generator.families import COMPOSITION, DENSE, SEEDS, TEXT
from fedlora.bench.generator.tables import method_rows, newcomers
from fedlora.bench.hyperconv import commonsense, dry_run, harness, quality, speed
from fedlora.bench.hyperconv.claims import family_claims, listening_claims
from fedlora.bench.kept import Kept
from fedlora.bench.lives import Lives
from fedlora.results import BenchResults, Claim
from fedlora.server.observer import Observer

FAMILIES = {family.name: family for family in (TEXT, DENSE, COMPOSITION)}
SPEED, DRY_RUN, COMMONSENSE, HARNESS = "speed", "dry-run", "commonsense", "harness"
PARTS = (*FAMILIES, COMMONSENSE, HARNESS, SPEED, DRY_RUN)


@dataclass(frozen=True)
class Case:
    """One bank: of a family of `FAMILIES`, or of the question sets."""

    what: str
    seed: int

    @property
    def name(self) -> str:
        """Of the file that keeps what it came to."""
        return f"{self.what}-{self.seed}"


def live(case: Case) -> Row:
    """What a case came to."""
    if case.what == COMMONSENSE:
        return commonsense.measure(case.seed)
    return quality.measure(FAMILIES[case.what], case.seed)


def bench_hyperconv(
    out: Path, only: Sequence[str], observer: Observer, workers: int | None = None
) -> BenchResults:
    """Measure the claims of the parts named, all when none is; what is done is written after each.

    Banks are lived in processes beside each other, and each is kept once it is done: a bench that
    was interrupted goes on with those that are missing, as long as the code is the same. Of parts
    that are not measured now the file keeps what it has.

    workers: processes at once; the number of cores when None.

    Raises:
        FedloraError: there is no such part, its data is missing, or the file cannot be written.
    """
    kept: Kept[Row] = Kept.of_bench("hyperconv", Row)
    lives = Lives(live, kept, workers, observer)
    measure = partial(_measured, lives=lives, observer=observer)
    return by_parts(out, "hyperconv", PARTS, only, measure, SEEDS, kept)


def _measured(part: str, lives: Lives[Case], observer: Observer) -> Found:
    if part == SPEED:
        return [], _alone(_speed, part, observer)
    if part == DRY_RUN:
        return [], _alone(_dry_run, part, observer)
    if part == HARNESS:
        observer.phase(part, 1)
        beside = harness.measure()
        return beside, harness.claims(beside)
    cases = {seed: Case(part, seed) for seed in SEEDS}
    found = lives.rows(part, list(cases.values()))
    lived = {seed: found[case.name] for seed, case in cases.items()}
    if part == COMMONSENSE:
        asked = [row for case in lived.values() for row in case["rows"]]
        listens = listening_claims("question sets", [c["listening"] for c in lived.values()])
        return (
            [*commonsense.method_rows(asked), *_listening_rows(part, lived)],
            [*listens, *commonsense.claims(asked)],
        )
    return family_part(part, lived)


def family_part(what: str, cases: Mapping[int, Row]) -> Found:
    """Rows and claims of one family, from what its banks came to."""
    family, told = FAMILIES[what], newcomers(cases)
    heard = [case["listening"] for case in cases.values() if case["listening"]]
    each = [{"table": "newcomers", "family": what, **row} for row in told]
    rows = [*method_rows(family, cases), *_listening_rows(what, cases), *each]
    return rows, family_claims(what, told, heard)


def _listening_rows(what: str, cases: Mapping[int, Row]) -> list[Row]:
    """A row a bank, of those that heard prompts."""
    told = {seed: case["listening"] for seed, case in cases.items() if case["listening"]}
    return [
        {"table": "listening", "family": what, "seed": seed, **heard}
        | {key: statistics.fmean(heard[key].values()) for key in ("own", "scrambled")}
        for seed, heard in told.items()
    ]


def _alone(measure: Callable[[], list[Claim]], part: str, observer: Observer) -> list[Claim]:
    """Claims that are timed, on one thread of this process."""
    observer.phase(part, 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return measure()
    finally:
        torch.set_num_threads(threads)
        observer.advance()


def _speed() -> list[Claim]:
    with tempfile.TemporaryDirectory() as scratch:
        milliseconds = speed.generation(Path(scratch))
    processor, wall = map(statistics.median, speed.overhead())
    over = f"of the harness over a bare loop's, median of {speed.TURNS} turns"
    thousand = "tokenising 1,000 adapters of 200,704 values, CPU time"
    one = "one adapter for MiniLM at r 8 from four texts, CPU time on one core"
    return [
        plain_claim("H4", f"CPU time {over}", processor, "<=", 15, "%"),
        plain_claim("H4", f"wall time {over}", wall, "<=", 15, "%"),
        plain_claim("H4", thousand, speed.tokenising(), "<=", 10, "s"),
        plain_claim("H4", one, milliseconds, "<=", 50, "ms"),
    ]


def _dry_run() -> list[Claim]:
    with tempfile.TemporaryDirectory() as scratch:
        config = dry_run.lay_out(Path(scratch))
        dry_run.dry_run(config)
        seconds = dry_run.dry_run(config)
        caught, planted = dry_run.found(Path(scratch))
    what = "a dry run over 24 MiniLM checkpoints, CPU time, imports apart"
    mistakes = f"of {planted} planted mistakes, found by a dry run"
    return [
        plain_claim("H5", what, seconds, "<=", 5, "s"),
        plain_claim("H5", mistakes, caught, "==", planted),
    ]
