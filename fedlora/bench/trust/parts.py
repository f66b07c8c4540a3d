"""The parts of the bench: how each is measured, and what its rows claim."""

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fedlora.bench.kept import Kept
from fedlora.bench.lives import Lives
from fedlora.bench.trust.audit import audit, counted
from fedlora.bench.trust.claims import (
    audit_claims,
    fuzz_claims,
    kill_claims,
    run_claims,
    trick_claims,
)
from fedlora.bench.trust.full_disks import fill_disks
from fedlora.bench.trust.fuzz import fuzz, targets
from fedlora.bench.trust.guided import guided, guided_claims
from fedlora.bench.trust.kill_runs import interrupt_runs
from fedlora.bench.trust.kills import kill_writers
from fedlora.bench.trust.lives import live
from fedlora.bench.trust.plan import PARTS as FEDERATIONS
from fedlora.bench.trust.plan import Case, cases
from fedlora.bench.trust.privacy import live_private
from fedlora.bench.trust.privacy_claims import privacy_claims
from fedlora.bench.trust.privacy_plan import PrivateCase, private_cases
from fedlora.bench.trust.tricks import play
from fedlora.results import Claim
from fedlora.server.observer import Observer

INPUTS, KILLS, RUNS = 1_000_000, 200, 50

Row = dict[str, Any]
C = TypeVar("C", Case, PrivateCase)


@dataclass(frozen=True)
class Session:
    """One call of the bench.

    kept: rows of federations that were lived through before an interruption.
    workers: federations at once; as many as there are cores when None.
    """

    seeds: tuple[int, ...]
    kept: Kept[Row]
    workers: int | None
    observer: Observer


@dataclass(frozen=True)
class Part:
    """measure: gives rows. claims: what any such rows show, without measuring.

    What federations show is told over all their parts together.
    """

    measure: Callable[[Session], list[Row]]
    claims: Callable[[Sequence[Row]], list[Claim]]


def _lived(
    life: Callable[[C], Row],
    plan: Callable[[tuple[int, ...]], Sequence[C]],
    session: Session,
) -> list[Row]:
    """Every federation of a plan, those that are kept not again."""
    lives = Lives(partial(_timed, life), session.kept, session.workers, session.observer)
    return list(lives.rows("federations", plan(session.seeds)).values())


def _federated(part: str, session: Session) -> list[Row]:
    """Every federation of a part of the plan."""
    with tempfile.TemporaryDirectory() as answers:
        return _lived(partial(live, answers=Path(answers)), partial(cases, part), session)


def _timed(life: Callable[[C], Row], case: C) -> Row:
    began = time.perf_counter()
    return life(case) | {"seconds": round(time.perf_counter() - began, 1)}


def _fuzzed(session: Session) -> list[Row]:
    """Every target read from mutations of its seeds."""
    every = targets()
    session.observer.phase("fuzz", len(every))
    rows: list[Row] = []
    for target in every:
        found = fuzz(target, -(-INPUTS // len(every)), 0)
        for crash in found.crashes[:3]:
            session.observer.note(crash)
        rows.append({"target": target.name, **asdict(found), "crashes": len(found.crashes)})
        session.observer.advance()
    return rows


def _guided(session: Session) -> list[Row]:
    """Every target read by a process that atheris guides."""
    session.observer.phase("guided", 1)
    readers = [target.name for target in targets()]
    rows = guided(readers, session.workers or os.cpu_count() or 1)
    for row in rows:
        if row["died"]:
            session.observer.note(f"{row['reader']}: {row['died']}")
    session.observer.advance()
    return rows


def _killed(session: Session) -> list[Row]:
    session.observer.phase("kills", 1)
    with tempfile.TemporaryDirectory() as scratch:
        survived = kill_writers(Path(scratch) / "bank", KILLS, 0)
        filled = fill_disks(Path(scratch) / "disk")
    session.observer.advance()
    return [asdict(survived) | asdict(filled)]


def _interrupted(session: Session) -> list[Row]:
    session.observer.phase("runs", 1)
    with tempfile.TemporaryDirectory() as scratch:
        found = interrupt_runs(Path(scratch), RUNS, 0)
    session.observer.advance()
    return [asdict(found)]


def _tricked(session: Session) -> list[Row]:
    session.observer.phase("tricks", 1)
    with tempfile.TemporaryDirectory() as scratch:
        found = play(Path(scratch) / "tricks")
    session.observer.advance()
    return [asdict(one) for one in found]


def _audited(session: Session) -> list[Row]:
    session.observer.phase("audit", 1)
    found = audit()
    for one in [*(found.unexplained or ()), *found.unhashed, *(found.advisories or ())]:
        session.observer.note(one)
    session.observer.advance()
    return [counted(found)]


PARTS: Mapping[str, Part] = {
    **{name: Part(partial(_federated, name), lambda _: []) for name in FEDERATIONS},
    "privacy": Part(partial(_lived, live_private, private_cases), privacy_claims),
    "fuzz": Part(_fuzzed, fuzz_claims),
    "guided": Part(_guided, guided_claims),
    "tricks": Part(_tricked, trick_claims),
    "kills": Part(_killed, kill_claims),
    "runs": Part(_interrupted, run_claims),
    "audit": Part(_audited, audit_claims),
}
