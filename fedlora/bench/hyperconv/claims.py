"""Claims H1 and H2 of a family, from the rows of its newcomers."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from fedlora.bench.claims import interval_claim
from fedlora.bench.generator.quality import RETRIEVAL
from fedlora.bench.generator.shares import ahead, closed, has_gap
from fedlora.bench.hyperconv.listening import Heard
from fedlora.bench.hyperconv.quality import PROMPTED, VECTORS
from fedlora.results import Claim

LISTENS = 0.9
"""Of the groups of unseen prompts, whose adapters are to be nearest to their own task's (H1)."""

RIVALS = ("mean", "ridge", "kriging", "corrected", "cvae", "compositional")
"""Generators beside which it stands, where a family has them."""

Row = Mapping[str, Any]


def family_claims(family: str, rows: Sequence[Row], heard: Sequence[Heard]) -> list[Claim]:
    """All of a family; H2 only where local training gains enough for shares to mean anything.

    rows: of newcomers of all banks. heard: whether it listens, of each bank; none of images.
    """
    return [*(listening_claims(family, heard) if heard else []), *_worth(family, rows)]


def listening_claims(family: str, heard: Sequence[Heard]) -> list[Claim]:
    """H1: the share of groups that are heard, and that of the control; intervals over tasks."""
    told = mean(one["told"] for one in heard)
    what = (
        f"{family}: unseen groups of prompts whose adapter is nearest to their own task's"
        f" (of the encodings alone {told:.2f} are)"
    )
    chance = max(one["chance"] for one in heard)
    deaf = f"{what}, learned from prompts of no task in particular (chance {chance:.3f})"
    own, scrambled = (_by_task([one[key] for one in heard]) for key in ("own", "scrambled"))
    return [
        interval_claim("H1", what, own, ">=", LISTENS, surely=True),
        interval_claim("H1", deaf, scrambled, "<=", 2 * chance, surely=True),
    ]


def _by_task(shares: Sequence[Mapping[str, float]]) -> list[float]:
    """A value a task; those that several banks have are averaged."""
    return [
        mean(own[task] for own in shares if task in own)
        for task in dict.fromkeys(task for own in shares for task in own)
    ]


def _worth(family: str, rows: Sequence[Row]) -> list[Claim]:
    """H2: the share of the gap, and what each rival closes less, paired by task."""
    inside = [row for row in rows if row["inside"]]
    if not has_gap(inside):
        return []
    claims = []
    for way in (way for way in (VECTORS, PROMPTED) if way in inside[0]):
        best = max(RETRIEVAL, key=lambda method: closed(inside, method))
        rivals = [name for name in RIVALS if name in inside[0]]
        rivals += [best, f"{way}, shuffled"]
        told = [(f"{family}: share of the gap that {way} closes", "base")]
        told += [(f"{family}: {way} beyond {rival}", rival) for rival in rivals]
        claims += [
            interval_claim(
                "H2", what, ahead(inside, way, rival), ">=", 0.0, "of the gap", surely=True
            )
            for what, rival in told
        ]
    return claims
