"""`fedlora bench comm`: claims A1 to A7."""

import tempfile
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from fedlora import atomic
from fedlora.bench.by_parts import Found, by_parts
from fedlora.bench.claims import plain_claim
from fedlora.bench.comm.cases import NAMES, TABLES, Case, Table, cases
from fedlora.bench.comm.claims import codec_claims, mixed_claims, unmeasured
from fedlora.bench.comm.exactness import RANK, TARGETS, WIDTH, seconds_of_svd, worst_errors
from fedlora.bench.comm.families import FAMILIES, Family
from fedlora.bench.comm.links import link_rows
from fedlora.bench.comm.lives import live
from fedlora.bench.comm.messages import message_claims
from fedlora.bench.comm.newcomers import home_claim, newcomer_claim, newcomer_rows
from fedlora.bench.comm.picture import pareto
from fedlora.bench.comm.rates import choose, rate_rows, tried
from fedlora.bench.comm.tables import Lived, Row, front, rows_of
from fedlora.bench.comm.wire import wire
from fedlora.bench.kept import Kept
from fedlora.bench.lives import Lives
from fedlora.results import BenchResults, Claim
from fedlora.server.observer import Observer

SEEDS = 5
EXACTNESS, WIRE, LINKS = "exactness", "wire", "links"
SMALL_PARTS = (EXACTNESS, WIRE, LINKS)
CLIENTS = (100, 40)
"""Whose ranks add up to more, and to less, than a layer is wide."""


def bench_comm(
    out: Path,
    observer: Observer,
    only: Sequence[str] = (),
    seeds: int = SEEDS,
    workers: int | None = None,
    families: Sequence[Family] = FAMILIES,
) -> BenchResults:
    """Measure the claims of results/comm.json and write them, after each part again.

    Claims of a family that was not measured yet stand in the file without a value.

    Federations are lived in processes beside each other, and each is kept once it is done: a bench
    that was interrupted goes on with those that are missing, as long as the code is the same. Each
    family's curves are drawn beside the results file, as NAME_FAMILY.svg.

    Args:
        out: the results file.
        observer: told how far it is.
        only: names of `SMALL_PARTS` and of families; all where there are none.
        seeds: of every federation, at most.
        workers: processes at once; the number of cores when None.
        families: that there are.

    Raises:
        FedloraError: a part is unknown, a federation fails, or the results cannot be written.
    """
    by_name = {family.name: family for family in families}
    kept: Kept[Row] = Kept.of_bench("comm", Row)
    lives = Lives(live, kept, workers, observer)

    def measure(part: str) -> Found:
        if part == EXACTNESS:
            return _exactness(observer)
        if part == WIRE:
            return _wire(observer)
        if part == LINKS:
            observer.phase("shaped links", 1)
            return link_rows(families, observer), []
        return measured(by_name[part], lives, seeds, out)

    def missing(rows: Mapping[str, list[Row]]) -> Found:
        return [], [c for name in by_name if name not in rows for c in unmeasured(by_name[name])]

    names = [*SMALL_PARTS, *by_name]
    options = "" if seeds == SEEDS else f"--seeds {seeds}"
    return by_parts(out, "comm", names, only, measure, range(seeds), kept, options, missing)


def measured(family: Family, lives: Lives[Case], seeds: int, out: Path) -> Found:
    """Every table of one family, and its picture beside the results file."""
    trials = tried(family, lives.rows)
    rates = choose(trials)
    found: dict[Table, dict[str, list[Row]]] = {}
    for table in TABLES:
        named = {what: cases(family, table, what, seeds, rates) for what in NAMES[table]}
        every = [case for same in named.values() for case in same]
        known = lives.rows(f"{family.name}: {table}", every)
        found[table] = {what: [known[case.name] for case in same] for what, same in named.items()}
    route = found.pop("route")
    everything = {t: {n: Lived.of(rows) for n, rows in by.items()} for t, by in found.items()}
    best = front(family, everything)
    picture = out.with_name(f"{out.stem}_{family.name}.svg")
    atomic.write_text(picture, pareto(family, everything, best))
    return (
        [
            *rate_rows(family, trials, rates),
            *rows_of(family, everything),
            *best,
            *newcomer_rows(family, route),
        ],
        [
            *codec_claims(family, everything["codec"]),
            *mixed_claims(family, everything["mixed"]),
            newcomer_claim(family, route),
            home_claim(family, route),
        ],
    )


def _exactness(observer: Observer) -> Found:
    observer.phase("exactness, messages, SVD", 3)
    claims = []
    for name, error in worst_errors().items():
        what = f"{name}: largest relative error against the dense average of products"
        claims.append(plain_claim("A1", what, error, "<=", 1e-6))
    observer.advance()
    claims += message_claims()
    observer.advance()
    for clients, targets in product(CLIENTS, TARGETS):
        claims += svd_claims(clients, targets, *seconds_of_svd(clients, targets))
    observer.advance()
    return [], claims


def svd_claims(clients: int, targets: str, svd: float, round: float) -> list[Claim]:
    """A6, in seconds: the SVD works on factors only where their ranks are fewer than the width."""
    ranks = clients * RANK
    how = "factored" if ranks < WIDTH else "dense where that is smaller"
    what = f"{clients} clients, {targets} of ViT-B/32, {ranks:,} ranks in {WIDTH}: {how}"
    return [
        plain_claim("A6", f"SVD, {what}", svd, "<=", 10, "s"),
        plain_claim("A6", f"a whole round of FlexLoRA, {what}", round, "<=", 10, "s"),
    ]


def _wire(observer: Observer) -> Found:
    observer.phase("ledger and relay", 1)
    with tempfile.TemporaryDirectory() as scratch:
        found = wire(Path(scratch))
    observer.advance()
    return found
