"""`fedlora bench generator`: claims G1 to G7."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedlora.bench.chosen import chosen
from fedlora.bench.generator import ranks, speed, traffic
from fedlora.bench.generator.cases import Case, Part, live
from fedlora.bench.generator.claims import family_claims
from fedlora.bench.generator.families import DENSE, FAMILIES, SEEDS, Family
from fedlora.bench.generator.tables import curve_rows, method_rows, newcomers
from fedlora.bench.kept import Kept
from fedlora.bench.lives import Lives
from fedlora.results import BenchResults, Claim, write_results
from fedlora.server.observer import Observer

COMMAND = "make bench-generator"
RANKS, BYTES, SPEED = "ranks", "bytes", "speed"
PARTS = (*(family.name for family in FAMILIES), RANKS, BYTES, SPEED)

Row = dict[str, Any]
Found = tuple[list[Row], list[Claim]]


def bench_generator(
    out: Path,
    observer: Observer,
    only: Sequence[str] = (),
    workers: int | None = None,
) -> BenchResults:
    """Measure the parts one after another; what is done is written after every part.

    Banks are lived in processes beside each other, and each is kept once it is done: a bench that
    was interrupted goes on with those that are missing, as long as the code is the same.

    Args:
        out: the results file.
        observer: told how far it is.
        only: names of `PARTS`; all where there are none.
        workers: processes at once; the number of cores when None.

    Raises:
        FedloraError: a part is unknown, a federation fails, or the results cannot be written.
    """
    parts = chosen(only, PARTS)
    kept: Kept[Row] = Kept.of_bench("generator", Row)
    lives = Lives(live, kept, workers, observer)
    rows: list[Row] = []
    claims: list[Claim] = []
    command = " ".join(["fedlora bench generator", *(f"--only {name}" for name in only)])
    for name in parts:
        found = _measured(name, lives)
        rows += found[0]
        claims = sorted([*claims, *found[1]], key=lambda claim: claim.id)
        results = write_results(
            out, "generator", command if only else COMMAND, rows, claims, SEEDS, lives.seconds
        )
    if not only:
        kept.clear()
    return results


def _measured(part: str, lives: Lives[Case]) -> Found:
    if part == RANKS:
        lived = _lived(lives, "ranks", DENSE.name, SEEDS)
        rows = [row for case in lived.values() for row in case["rows"]]
        return ranks.rank_rows(rows), ranks.rank_claims(rows)
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
    return (
        [*method_rows(family, cases), *curve_rows(family, cases), *told],
        family_claims(family, rows, apart),
    )


def _lived(lives: Lives[Case], part: Part, what: str, seeds: Sequence[int]) -> dict[int, Row]:
    """What the cases of a part came to, by their seeds."""
    cases = {seed: Case(part, what, seed) for seed in seeds}
    found = lives.rows(f"{what}: {part}", list(cases.values()))
    return {seed: found[case.name] for seed, case in cases.items()}
