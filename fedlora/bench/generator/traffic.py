"""A newcomer's bytes beside FedAvg's for as much, and a generator's beside its bank's (G6)."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedlora.bench.claims import interval_claim
from fedlora.bench.comm.curve import Point, curve, first_at
from fedlora.bench.generator.families import DENSE, Family
from fedlora.bench.generator.quality import after, size_of
from fedlora.bench.generator.side import Side
from fedlora.bench.generator.ways import GROWN
from fedlora.results import Claim

SERVED = ("kriging", after("kriging", GROWN))
"""Without labels, as FedAvg's adapter is."""
STORED = ("kriging", "cvae")

Row = dict[str, Any]


def measure(seed: int, family: Family = DENSE) -> Row:
    """FedAvg of the bank's clients and the newcomers, for as many rounds as the family has.

    points: those of one newcomer, each what it is served with before a round. bank: bytes on the
    disk of the bank that the clients fill without growth.
    """
    score = {"rounds": family.rounds + 1, "train": family.round, "score": True}
    points = curve(family.config(seed, warm_start=score), seed, newcomers=True)
    count = family.tasks["held_out"]
    shared = ("up", "down", "payload")
    with tempfile.TemporaryDirectory() as folder:
        filled = Side(family.config(seed), Path(folder)).context.folder / "bank"
        stored = size_of(filled)
    return {
        "points": [
            {**asdict(point), **{key: getattr(point, key) / count for key in shared}}
            for point in points
        ],
        "bank": stored,
    }


def byte_claims(cases: Mapping[int, Row], rivals: Mapping[int, Row], family: str) -> list[Claim]:
    """What FedAvg needs to serve newcomers as well as each way of generation does.

    A bank in which it never gets there counts with all the bytes that it has spent, which is too
    few: the claim says in how many that was.

    cases: of the family's quality, by seed. rivals: of `measure`.
    """
    claims = []
    for method in SERVED:
        needed = [_needed(cases[seed], method, rivals[seed]) for seed in rivals]
        short = sum(not there for _, there in needed)
        what = f"{family}: bytes of FedAvg that is as good, in those of {method}"
        if short:
            what += f" (a lower bound: {short} of {len(needed)} banks never got there)"
        ratios = [times for times, _ in needed]
        claims.append(interval_claim("G6", what, ratios, ">=", 1.0))
    for method in STORED:
        stored = [
            case["methods"][method]["stored"] / rivals[seed]["bank"] for seed, case in cases.items()
        ]
        what = f"{family}: bytes of {method} on the disk, in those of its bank"
        claims.append(interval_claim("G6", what, stored, "<=", 1.0))
    return claims


def fedavg_rows(rivals: Mapping[int, Row], family: str) -> list[Row]:
    """FedAvg round by round: mean value, and bytes of one newcomer so far."""
    lived = [[Point(**point) for point in row["points"]] for row in rivals.values()]
    return [
        {
            "table": "fedavg",
            "family": family,
            "rounds": points[0].rounds,
            "value": _mean([point.value for point in points]),
            "up": _mean([point.up for point in points]),
            "down": _mean([point.down for point in points]),
        }
        for points in zip(*lived, strict=True)
    ]


def _needed(case: Row, method: str, rival: Row) -> tuple[float, bool]:
    """Bytes of FedAvg as a multiple of the method's, and whether they were enough."""
    own, points = case["methods"][method], [Point(**point) for point in rival["points"]]
    goal = _mean([row[method] for row in case["newcomers"]])
    there = first_at(points, goal)
    return (there or points[-1]).bytes / (own["up"] + own["down"]), there is not None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
