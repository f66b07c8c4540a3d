"""What was promised of simulation speed, from what was measured."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

from fedlora.bench.sim.measured import Measured
from fedlora.bench.sim.outcome import Outcome
from fedlora.bench.sim.plan import NODE_LOSS, PLAN, TRAINED
from fedlora.bench.sim.sides import SIDES
from fedlora.bench.sim.workloads import (
    COLD,
    FEW,
    GPU,
    LANGUAGE,
    SECOND,
    STARTS,
    TINY_100,
    TINY_1000,
    TOP,
)
from fedlora.results import Claim

GIB = 2**30
RIVALS = {"plain": 1.8, "pfl": 1.8, "flower_cached": 4.0, "flower_stock": 25.0}
"""How many times faster a thousand tiny clients must be."""

MANY = 64
"""Clients that a card must train at once for a claim."""

ADAPTERS = 1.0
"""Of its own, that each further client of a cold round may add to the memory of all processes."""

START = {"inprocess": 8.0, "ray": 20.0}
"""Seconds that a start may take."""

_ON_CARD = {workload.name for workload in GPU}

LATER = "not measured yet: the bench was interrupted before"


def claims(outcome: Outcome, groups: Sequence[str]) -> list[Claim]:
    """S1 to S8 of the groups that were asked for, each with its value or why there is none."""
    asked = {workload.name for group in groups for workload, _ in PLAN[group]}
    promised = [(name, claim) for name, claim in _all(outcome) if name in asked]
    if NODE_LOSS in groups:
        promised += [(NODE_LOSS, _node_loss(outcome, training)) for training in TRAINED]
    return [claim for _, claim in promised]


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    """One row a workload and side."""
    return [_row(name, side, outcome) for name, sides in outcome.found.items() for side in sides]


def _all(outcome: Outcome) -> Iterator[tuple[str, Claim]]:
    """Each claim beside the workload that it speaks of."""
    for workload in (SECOND, LANGUAGE):
        yield workload.name, _ratio(outcome, "S1", workload.name, "ray", "plain", 0.95)
    for rival, target in RIVALS.items():
        name = TINY_1000.name
        yield name, _ratio(outcome, "S2", name, "ray_batched", rival, target)
    for workload in FEW:
        target = 2.0 if workload.batch == 1 else 1.4
        yield workload.name, _ratio(outcome, "S3", workload.name, "batched", "plain", target)
    for workload in (TINY_1000, SECOND, *FEW, TINY_100):
        yield workload.name, _search(outcome, workload.name)
    for workload in (TINY_1000, *FEW, TINY_100):
        yield workload.name, _choice(outcome, workload.name)
    yield TOP.name, _recording(outcome, TOP.name)
    yield TOP.name, _ratio(outcome, "S4", TOP.name, "cached", "inprocess", 1.5)
    for side in ("batched", "ray_batched"):
        for claim in _ten_thousand(outcome, side):
            yield COLD[1].name, claim
    for name, side in product([workload.name for workload in STARTS], START):
        yield name, _start(outcome, name, side)
    for workload in (workload for workload in GPU if workload.clients >= MANY):
        yield workload.name, _ratio(outcome, "S7", workload.name, "batched", "inprocess", 5.0)


def _claim(
    code: str, what: str, value: float | str, sense: str, target: float, unit: str = ""
) -> Claim:
    """A claim without an interval; a text instead of its value says why there is none."""
    said = {"value": None, "reason": value} if isinstance(value, str) else {"value": value}
    return Claim.model_validate(
        {"id": code, "what": what, "sense": sense, "target": target, "unit": unit} | said
    )


def _of(outcome: Outcome, workload: str, side: str) -> Measured | str:
    """What a side took, or why that is not known."""
    found = outcome.found.get(workload)
    if found is not None and side in found:
        return found[side]
    failed = outcome.failures.get(workload) or outcome.failures.get(f"{workload}: {side}")
    return f"{SIDES[side].what}: {failed}" if failed else LATER


def _ratio(
    outcome: Outcome, code: str, workload: str, side: str, other: str, target: float
) -> Claim:
    """How many times faster one side is than another; zero where its numbers are not the same.

    Two sides of one process and one thread each are compared by processor time, which is their
    time on an idle machine; others, and those that wait for a card, by the clock.
    """
    alone, by = _clock(outcome, workload, (side, other))
    value = _of_two(outcome, workload, (side, other), lambda x: x.cpu_rate if alone else x.rate)
    what = f"{workload}: {by}, {SIDES[side].what} over {SIDES[other].what}"
    return _claim(code, what, value, ">=", target)


def _clock(outcome: Outcome, workload: str, sides: Sequence[str]) -> tuple[bool, str]:
    """Whether processor time is what sides are compared by, and in words by what."""
    alone = all(_alone(side, _of(outcome, workload, side)) for side in sides)
    if alone and workload not in _ON_CARD:
        return True, "clients a second of processor time"
    return False, "clients a second"


def _search(outcome: Outcome, workload: str) -> Claim:
    """What `auto` takes of the processor in all its rounds, the first and its trials included.

    A median would not see the rounds in which it tries a size.
    """
    sides = ("auto", "inprocess")
    alone, by = _clock(outcome, workload, sides)
    rate = (lambda x: x.whole_cpu_rate) if alone else (lambda x: x.whole_rate)
    value = _of_two(outcome, workload, sides, rate)
    what = f"{workload}: {by} over all rounds, "
    what += f"{SIDES['auto'].what} over {SIDES['inprocess'].what}"
    return _claim("S3", what, value, ">=", 0.97)


def _choice(outcome: Outcome, workload: str) -> Claim:
    """What `auto` has come to, over the better of the two ways that it chooses from."""
    found = [
        _of_two(outcome, workload, ("auto", side), lambda x: x.cpu_rate)
        for side in ("inprocess", "batched")
    ]
    unknown = [ratio for ratio in found if isinstance(ratio, str)]
    value = unknown[0] if unknown else min(ratio for ratio in found if not isinstance(ratio, str))
    what = f"{workload}: clients a second of processor time, {SIDES['auto'].what} over the better"
    return _claim("S3", f"{what} of batched and one by one", value, ">=", 0.9)


def _recording(outcome: Outcome, workload: str) -> Claim:
    """The first timed round, in which most clients' activations are recorded, over plain ones."""
    value = _of_two(outcome, workload, ("cached", "inprocess"), lambda x: x.first_cpu_rate)
    what = f"{workload}, in the round that records: clients a second of processor time, "
    what += f"{SIDES['cached'].what} over {SIDES['inprocess'].what}"
    return _claim("S4", what, value, ">=", 1.5)


def _of_two(
    outcome: Outcome, workload: str, sides: tuple[str, str], rate: Callable[[Measured], float]
) -> float | str:
    """The ratio of two sides' rates, or why there is none; zero where ours has other numbers."""
    ours, theirs = (_of(outcome, workload, side) for side in sides)
    if isinstance(ours, str):
        return ours
    if isinstance(theirs, str):
        return theirs
    if not theirs.same:
        return _other(sides[1], theirs)
    return rate(ours) / rate(theirs) if ours.same else 0.0


def _other(side: str, measured: Measured) -> str:
    """Why a side counts for nothing whose numbers are not the reference's."""
    return (
        f"{SIDES[side].what}: its numbers are not the reference's: {measured.beyond} of"
        f" {measured.compared} clients differ by more than {measured.tolerance:g} of what they"
        f" learned, at most by {measured.difference:.2g}"
    )


def _alone(side: str, measured: Measured | str) -> bool:
    """Whether it worked in one process on one thread."""
    if isinstance(measured, str):
        return False
    return not SIDES[side].restless and measured.threads == 1


def _ten_thousand(outcome: Outcome, side: str) -> Iterator[Claim]:
    measured = _of(outcome, COLD[1].name, side)
    what = f"10,000 clients, the one round of a process, {SIDES[side].what}"
    whole: float | str
    peak: float | str
    beyond: float | str
    compared = "some"
    if isinstance(measured, str):
        whole = peak = beyond = measured
    else:
        compared, beyond = f"{measured.compared:,}", float(measured.beyond)
        if measured.same:
            whole = statistics.median(measured.ready) + measured.seconds
            peak = measured.peak / GIB
        else:
            whole = peak = _other(side, measured)
    drawn = f"of {compared} drawn from all, those with other numbers than one by one"
    yield _claim("S5", f"{what}, {drawn}", beyond, "<=", 0.0, "clients")
    yield _claim("S5", f"{what}, from the start", whole, "<=", 180.0, "s")
    yield _claim("S5", f"{what}, peak memory", peak, "<=", 4.0, "GiB")
    added = _growth(outcome, side)
    if isinstance(measured, str):
        beside: float | str = measured
    else:
        beside = LATER if added is None else 1024 * added / measured.adapter
    what = f"memory that each client beyond {COLD[0].clients:,} adds to all processes"
    yield _claim("S5", f"{what}, {SIDES[side].what}", beside, "<=", ADAPTERS, "adapters")


def _start(outcome: Outcome, workload: str, side: str) -> Claim:
    measured = _of(outcome, workload, side)
    value: float | str
    if isinstance(measured, str):
        value = measured
    else:
        value = statistics.median(measured.first) if measured.same else _other(side, measured)
    what = f"{workload} to the reply of the first client, which has trained on one batch"
    return _claim("S6", f"{what}, {SIDES[side].what}", value, "<=", START[side], "s")


def _node_loss(outcome: Outcome, training: str) -> Claim:
    what = f"a Ray machine killed in a round, training {training}: equal hashes of bank,"
    survived = outcome.survived.get(training)
    failed = outcome.failures.get(f"{NODE_LOSS}: {training}", LATER)
    value = failed if survived is None else float(survived)
    return _claim("S8", f"{what} generator and table", value, "==", 1)


def _growth(outcome: Outcome, side: str) -> float | None:
    """KiB of peak memory that each further client of a cold round takes."""
    few, many = (outcome.found.get(workload.name, {}).get(side) for workload in COLD)
    if few is None or many is None or few.clients == many.clients:
        return None
    return (many.peak - few.peak) / (many.clients - few.clients) / 1024


def _row(name: str, side: str, outcome: Outcome) -> dict[str, Any]:
    sides = outcome.found[name]
    measured = sides[side]
    limit, stock = (sides[s].rate if s in sides else 0.0 for s in ("plain", "flower_stock"))
    rate = measured.rate
    cold = name in {workload.name for workload in COLD}
    return {
        "workload": name,
        "side": SIDES[side].what,
        "clients": measured.clients,
        "threads": measured.threads,
        "rounds": len(measured.rounds),
        "seconds": measured.seconds,
        "cpu seconds": measured.cpu,
        "cpu s a client": measured.cpu / measured.clients,
        "clients a second": rate or None,
        "share of plain": rate / limit if limit and rate else None,
        "times stock Flower": rate / stock if stock and rate else None,
        "start": statistics.median(measured.first) if measured.first else None,
        "ready": statistics.median(measured.ready),
        "peak MiB": measured.peak / 2**20,
        "KiB a client": _growth(outcome, side) if cold else None,
        "difference": measured.difference,
        "compared": measured.compared,
        "beyond": measured.beyond,
    }
