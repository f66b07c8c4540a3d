"""`fedlora bench generator`: claims G1 to G8."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from fedlora.bench.by_parts import Found, Row, by_parts
from fedlora.bench.generator import calibration, published, ranks, speed, traffic
from fedlora.bench.generator.cases import Case, Part, live
from fedlora.bench.generator.claims import family_claims
from fedlora.bench.generator.families import DENSE, FAMILIES, SEEDS, Family
from fedlora.bench.generator.tables import bank_rows, curve_rows, method_rows, newcomers
from fedlora.bench.kept import Kept
from fedlora.bench.lives import Lives
from fedlora.results import BenchResults
from fedlora.server.observer import Observer

RANKS, PUBLISHED, BYTES, SPEED = "ranks", "published", "bytes", "speed"
PARTS = (*(family.name for family in FAMILIES), RANKS, PUBLISHED, BYTES, SPEED)


def bench_generator(
    out: Path,
    observer: Observer,
    only: Sequence[str] = (),
    workers: int | None = None,
) -> BenchResults:
    """Measure the parts one after another; what is done is written after every part.

    Banks are lived in processes beside each other, and each is kept once it is done: a bench that
    was interrupted goes on with those that are missing, as long as the code is the same. Of parts
    that are not measured now the file keeps what it has.

    Args:
        out: the results file.
        observer: told how far it is.
        only: names of `PARTS`; all where there are none.
        workers: processes at once; the number of cores when None.

    Raises:
        FedloraError: a part is unknown, a federation fails, or the results cannot be written.
    """
    kept: Kept[Row] = Kept.of_bench("generator", Row)
    lives = Lives(live, kept, workers, observer)
    measure = partial(_measured, lives=lives)
    return by_parts(out, "generator", PARTS, only, measure, SEEDS, kept)


def _measured(part: str, lives: Lives[Case]) -> Found:
    if part == RANKS:
        lived = _lived(lives, "ranks", DENSE.name, SEEDS)
        rows = [row for case in lived.values() for row in case["rows"]]
        return ranks.rank_rows(rows), ranks.rank_claims(rows)
    if part == PUBLISHED:
        beside = _lived(lives, "published", DENSE.name, SEEDS)
        return (
            published.published_rows(DENSE, beside),
            published.published_claims(DENSE, beside),
        )
    if part == BYTES:
        rivals = _lived(lives, "bytes", DENSE.name, SEEDS)
        served = _lived(lives, "quality", DENSE.name, SEEDS)
        return (
            traffic.fedavg_rows(rivals, DENSE.name),
            traffic.byte_claims(served, rivals, DENSE.name),
        )
    if part == SPEED:
        # One after another: a process that has done something before has its memory.
        timed = [_lived(lives, "speed", name, (0,))[0] for name in speed.GENERATORS]
        return timed, [claim for row in timed for claim in speed.speed_claims(row)]
    family = next(family for family in FAMILIES if family.name == part)
    return family_part(family, _lived(lives, "quality", part, family.seeds))


def family_part(family: Family, cases: Mapping[int, Row]) -> Found:
    """Rows and claims of one family, from what its banks came to."""
    rows = newcomers(cases)
    ways = {method for case in cases.values() for method in case["copies"]}
    apart = {way: [case["copies"][way]["nearest"] for case in cases.values()] for way in ways}
    told = [{"table": "newcomers", "family": family.name, **row} for row in rows]
    sure = calibration.rows(family.name, cases)
    claims = family_claims(family, rows, apart)
    if claims:
        claims += calibration.claims(family.name, sure)
    return [
        *method_rows(family, cases),
        *curve_rows(family, cases),
        *sure,
        *bank_rows(family, cases),
        *told,
    ], claims


def _lived(lives: Lives[Case], part: Part, what: str, seeds: Sequence[int]) -> dict[int, Row]:
    """What the cases of a part came to, by their seeds."""
    cases = {seed: Case(part, what, seed) for seed in seeds}
    found = lives.rows(f"{what}: {part}", list(cases.values()))
    return {seed: found[case.name] for seed, case in cases.items()}
