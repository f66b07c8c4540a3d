"""What was promised of simulation speed, from what was measured."""

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from fedlora.bench.sim.measure import Measured
from fedlora.bench.sim.sides import SIDES
from fedlora.bench.sim.workloads import COLD, FEW, GPU, LANGUAGE, SECOND, TINY_100, TINY_1000, TOP
from fedlora.results import Claim

Found = Mapping[str, Mapping[str, Measured]]
"""Workload's name -> side -> what it took."""

GIB = 2**30
RIVALS = {"plain": 1.8, "pfl": 1.8, "flower_cached": 4.0, "flower_stock": 25.0}
"""How many times faster a thousand tiny clients must be."""


def claims(found: Found) -> list[Claim]:
    """S1 to S7, as far as the workloads that they speak of were measured."""
    out: list[Claim] = []
    for workload in (SECOND, LANGUAGE):
        out += _ratio(found, "S1", workload.name, "ray", "plain", 0.95)
    for rival, target in RIVALS.items():
        out += _ratio(found, "S2", TINY_1000.name, "ray_batched", rival, target)
    for workload in FEW:
        target = 2.0 if workload.batch == 1 else 1.4
        out += _ratio(found, "S3", workload.name, "batched", "plain", target)
    for name in found:
        out += _ratio(found, "S3", name, "auto", "inprocess", 0.97)
    out += _ratio(found, "S4", TOP.name, "cached", "inprocess", 1.5)
    for side in ("batched", "ray_batched"):
        out += _ten_thousand(found, side)
    for side, limit in (("inprocess", 8.0), ("ray", 20.0)):
        out += _start(found, side, limit)
    for workload in GPU:
        out += _ratio(found, "S7", workload.name, "batched", "inprocess", 5.0)
    return out


def rows(found: Found) -> list[dict[str, Any]]:
    """One row a workload and side."""
    return [
        _row(name, side, sides, _growth(found, side))
        for name, sides in found.items()
        for side in sides
    ]


def claim(name: str, what: str, value: float, unit: str, sense: str, target: float) -> Claim:
    """A claim without an interval."""
    return Claim.model_validate(
        {"id": name, "what": what, "value": value, "unit": unit, "sense": sense, "target": target}
    )


def _ratio(
    found: Found, name: str, workload: str, side: str, other: str, target: float
) -> Iterator[Claim]:
    """How many times faster one side is than another; zero where its numbers are not the same."""
    sides = found.get(workload, {})
    if side in sides and other in sides and sides[other].rate:
        what = f"{workload}: clients a second, {SIDES[side].what} over {SIDES[other].what}"
        yield claim(name, what, sides[side].rate / sides[other].rate, "", ">=", target)


def _ten_thousand(found: Found, side: str) -> Iterator[Claim]:
    measured = found.get(COLD[1].name, {}).get(side)
    if measured:
        what = f"10,000 clients in one round, {SIDES[side].what}"
        yield claim("S5", f"{what}, from the start", _from_start(measured), "s", "<=", 180.0)
        yield claim("S5", f"{what}, peak memory", measured.peak / GIB, "GiB", "<=", 4.0)


def _start(found: Found, side: str, limit: float) -> Iterator[Claim]:
    measured = found.get(TINY_100.name, {}).get(side)
    if measured and measured.first:
        what = f"start to the first client's reply, {SIDES[side].what}"
        yield claim("S6", what, statistics.median(measured.first), "s", "<=", limit)


def _from_start(measured: Measured) -> float:
    return statistics.median(measured.ready) + measured.seconds


def _growth(found: Found, side: str) -> float | None:
    """KiB of peak memory that each further client of a cold round takes."""
    few, many = (found.get(workload.name, {}).get(side) for workload in COLD)
    if few is None or many is None or few.clients == many.clients:
        return None
    return (many.peak - few.peak) / (many.clients - few.clients) / 1024


def _row(
    name: str, side: str, sides: Mapping[str, Measured], growth: float | None
) -> dict[str, Any]:
    measured = sides[side]
    limit, stock = (sides[s].rate if s in sides else 0.0 for s in ("plain", "flower_stock"))
    rate = measured.rate
    return {
        "workload": name,
        "side": SIDES[side].what,
        "clients": measured.clients,
        "threads": measured.threads,
        "rounds": len(measured.rounds),
        "seconds": measured.seconds,
        "cpu seconds": measured.cpu,
        "clients a second": rate or None,
        "share of plain": rate / limit if limit and rate else None,
        "times stock Flower": rate / stock if stock and rate else None,
        "start": statistics.median(measured.first) if measured.first else None,
        "ready": statistics.median(measured.ready),
        "peak MiB": measured.peak / 2**20,
        "KiB a client": growth if name in {workload.name for workload in COLD} else None,
        "difference": measured.difference,
    }
