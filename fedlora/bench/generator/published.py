"""The published architecture beside the library's own, on banks that it can be fitted to."""

import tempfile
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from statistics import fmean
from typing import Any

from fedlora.bench.generator.claims import of_gap
from fedlora.bench.generator.copies import shared_mistakes
from fedlora.bench.generator.families import DENSE, Family
from fedlora.bench.generator.quality import PARTS, learn_all, newcomer_rows
from fedlora.bench.generator.shares import ahead, has_gap
from fedlora.bench.generator.side import Side
from fedlora.bench.generator.tables import FACTS, means_of, newcomers, share_of
from fedlora.generators.contract import Generator
from fedlora.results import Claim

EPOCHS = 1000
"""Of the 2000 published, which are half an hour of a core for a bank."""
ICM = f"icm, {EPOCHS} of 2000 epochs"
GENERATORS: dict[str, dict[str, Any]] = {
    **{name: PARTS[name] for name in ("mean", "top-3", "kriging", "cvae")},
    ICM: {"name": "icm", "training": {"epochs": EPOCHS}},
}
COSTS = ("shared mistakes", "fit seconds", "stored")

Row = dict[str, Any]


def measure(seed: int, family: Family = DENSE) -> Row:
    """What a bank without growth came to.

    newcomers: a row each; more is better.
    methods: seconds and bytes by method, and the mistakes it shares with the bank. adapter: bytes
    of the values of one.
    """
    with tempfile.TemporaryDirectory() as folder:
        side = Side(family.config(seed), Path(folder))
        learned, costs = learn_all(side, GENERATORS)
        made = side.alone() | {name: side.sample(one) for name, one in learned.items()}
        made[f"{ICM}, shuffled"] = side.sample(learned[ICM], side.others())
        made[f"{ICM}, prior's mean"] = side.sample(_calm(learned[ICM]))
        values = {method: side.reached(adapters) for method, adapters in made.items()}
        for method in ("local", *GENERATORS):
            shared = {"shared mistakes": shared_mistakes(side, made[method])}
            costs[method] = costs.get(method, {}) | shared
    return {
        "newcomers": newcomer_rows(family, side.tasks, values),
        "methods": costs,
        "adapter": 4 * side.warm.spec.size,
    }


def _calm(generator: Generator) -> Generator:
    """It as it answers with the mean of its prior, as `cvae` does, in place of one draw."""
    calm = copy(generator)
    calm.config = generator.config.model_copy(update={"spread": 0.0})
    return calm


def published_rows(family: Family, cases: Mapping[int, Row]) -> list[Row]:
    """One a method: its share of the gap, seconds to learn it, and its bytes beside an adapter's.

    None where training gains too little for shares to mean anything.
    """
    rows = newcomers(cases)
    methods = [name for name in rows[0] if name not in FACTS] if has_gap(rows) else []
    return [
        {
            "table": "published",
            "family": family.name,
            "method": method,
            "value": fmean(row[method] for row in rows),
            **share_of(rows, method),
            **means_of([case["methods"].get(method, {}) for case in cases.values()], COSTS),
            **means_of(list(cases.values()), ("adapter",)),
        }
        for method in methods
    ]


def published_claims(family: Family, cases: Mapping[int, Row]) -> list[Claim]:
    """G2: the library's auto-encoder beyond the published one, and that beyond the plain mean."""
    rows = newcomers(cases)
    icm = f"{ICM}, prior's mean"
    pairs = (("cvae", ICM), ("cvae", icm), (ICM, "mean"), (icm, "mean")) if has_gap(rows) else ()
    return [
        of_gap("G2", f"{family.name}: {one} beyond {other}", ahead(rows, one, other), ">=", 0, True)
        for one, other in pairs
    ]
