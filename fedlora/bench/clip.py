"""The CLIP module, measured: accuracy, bytes, time and memory, and what its layers leave alone."""

import statistics
import time
from itertools import product
from pathlib import Path
from typing import Any

from fedlora.bench import clip_cost
from fedlora.bench.clip_training import METHODS, TASKS, Size, measure
from fedlora.evaluation.table import interval
from fedlora.results import BenchResults, Claim, write_results
from fedlora.server.observer import Observer

SEEDS = (0, 1, 2)
COMMAND = "make bench-clip"
PROMISED = {8: 1.18, 16: 2.36, 32: 4.72}


def bench_clip(
    out: Path, observer: Observer, seeds: tuple[int, ...] = SEEDS, size: Size | None = None,
    steps: int = 20,
) -> BenchResults:  # fmt: skip
    """Measure claims C1 to C4 and write them.

    Args:
        out: the results file.
        observer: told how far it is.
        seeds: of the accuracies of C1.
        size: of the same, its defaults when left out.
        steps: timed steps of C3.

    Raises:
        FedloraError: the results cannot be written.
    """
    started = time.perf_counter()
    rows = _accuracies(observer, seeds, size or Size())
    claims = [_gap(rows, method) for method in METHODS if method.startswith("LoRA")]
    observer.phase("ViT-B/32", 4)
    for row in clip_cost.counts():
        claims += _counted(row)
        rows.append({"case": f"ViT-B/32, r {row['rank']}", **row})
    observer.advance()
    disabled, merged = clip_cost.differences()
    claims += [
        _claim(
            "C4", "largest difference of a disabled adapter to the plain model", disabled, "==", 0
        ),
        _claim(
            "C4", "largest difference after merging, share of the largest logit", merged, "<=", 1e-5
        ),
    ]
    observer.advance()
    ratios = clip_cost.overhead(steps)
    observer.advance()
    more = 100 * (statistics.median(ratios) - 1)
    claims.append(_claim("C3", "a wrapped step over plain PEFT's", more, "<=", 2, "%"))
    costs = clip_cost.checkpointed(max(2, steps // 4))
    observer.advance()
    rows += [
        {"case": f"checkpointing {'on' if on else 'off'}", "seconds": took, "bytes": peak}
        for on, (took, peak) in costs.items()
    ]
    memory = costs[True][1] / costs[False][1]
    claims.append(
        _claim("C3", "peak memory of a step with checkpointing, share of without", memory, "<=", 1)
    )
    elapsed = time.perf_counter() - started
    return write_results(out, "clip", COMMAND, rows, claims, seeds, elapsed)


def _accuracies(observer: Observer, seeds: tuple[int, ...], size: Size) -> list[dict[str, Any]]:
    observer.phase("accuracy", len(TASKS) * len(METHODS) * len(seeds))
    rows: list[dict[str, Any]] = []
    for task, method, seed in product(TASKS, METHODS, seeds):
        found = measure(task, method, seed, size)
        rows.append({"task": task, "method": method, "seed": seed, **found})
        observer.advance()
    return rows


def _gap(rows: list[dict[str, Any]], method: str) -> Claim:
    """Points that centralised training is ahead of federated, over tasks and seeds."""
    points = [
        100 * (row["centralised"] - row["federated"]) for row in rows if row.get("method") == method
    ]
    found = interval(points)
    return Claim(
        id="C1",
        what=f"centralised minus federated accuracy at Dirichlet 0.5, {method}",
        value=found.mean,
        low=found.low,
        high=found.high,
        unit="points",
        sense="<=",
        target=2,
    )


def _counted(row: dict[str, int]) -> list[Claim]:
    rank = row["rank"]
    found = round(row["trainable"] / 1e6, 2)
    fewer = {
        name: 100 * (1 - row["adapter"] / row[key])
        for name, key in (("the full model", "full"), ("the vision tower alone", "vision"))
    }
    return [
        _claim(
            "C4", f"trainable values on ViT-B/32, r {rank}", found, "==", PROMISED[rank], "million"
        ),
        *(
            _claim("C2", f"fewer bytes than {name} on ViT-B/32, r {rank}", value, ">=", 98, "%")
            for name, value in fewer.items()
        ),
    ]


def _claim(name: str, what: str, value: float, sense: str, target: float, unit: str = "") -> Claim:
    return Claim.model_validate(
        {"id": name, "what": what, "value": value, "unit": unit, "sense": sense, "target": target}
    )
