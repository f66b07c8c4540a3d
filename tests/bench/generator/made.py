"""Rows as a case of the generator bench has them, made by hand."""

from typing import Any

from fedlora.adapter import AdapterSpec, LayerSpec
from fedlora.bench.generator import quality
from fedlora.bench.generator.bench import family_part
from fedlora.bench.generator.families import COMPOSITION, DENSE
from fedlora.bench.generator.ways import (
    GROWN,
    OURS,
    POLICIES,
    RETRIEVED,
)

SPEC = AdapterSpec("base", (LayerSpec("q", 6, 5, 2), LayerSpec("v", 6, 4, 2)), 4.0)
EQUAL = quality.after(RETRIEVED, GROWN)
ADOPTED = [f"{policy} at {n}" for n in DENSE.labels for policy in (OURS, EQUAL, *POLICIES)]
AFTER = [quality.after(name, way) for way in COMPOSITION.growth for name in quality.AFTER]
MADE = [*quality.PARTS, *COMPOSITION.growth, *AFTER]
TRIED = [quality.CHOSEN, *(quality.after(quality.CHOSEN, way) for way in COMPOSITION.growth)]
METHODS = [*MADE, *TRIED, *(f"{method}, shuffled" for method in MADE), *ADOPTED]


def newcomer(task: str = "a", **values: float) -> dict[str, Any]:
    reached = dict.fromkeys(METHODS, 0.2) | {"base": 0.1, "warm": 0.2, "local": 0.6} | values
    return {"task": task, "inside": True, **reached}


def case(*newcomers: dict[str, Any], points: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    cost = {"fit seconds": 1.0, "stored": 50, "up": 10.0, "down": 90.0}
    like = {"nearest": 0.8, "norm": None, "rank": 1.0}
    return {
        "newcomers": list(newcomers),
        "methods": dict.fromkeys(METHODS, cost),
        "copies": dict.fromkeys(METHODS, like),
        "errors": [{"foretold": 0.2 * n, "real": 0.1 * n} for n in range(1, 5)],
        "foreign": [place == 0 for place in range(len(newcomers))],
        "walks": {"kriging": {"longest step": 0.2, "detour": 1.5, "walks": 6}},
        "curves": points or [],
        "chosen": {"plain": "topk"},
    }


def claims_of(family: Any, cases: Any, name: str, *words: str) -> list[Any]:
    _, claims = family_part(family, cases)
    return [c for c in claims if c.id == name and all(word in c.what for word in words)]
