"""`fedlora bench clip`: claims C1 to C4."""

import time
from itertools import product
from pathlib import Path

import torch

from fedlora.bench.clip import cost
from fedlora.bench.clip.claims import Rows, accuracy_claims, cost_claims, over_seeds
from fedlora.bench.clip.training import METHODS, TASKS, Case, Row, Size, measure
from fedlora.bench.kept import Kept
from fedlora.bench.processes import measured
from fedlora.results import BenchResults, write_results
from fedlora.server.observer import Observer

SEEDS = (0, 1, 2)
COMMAND = "make bench-clip"
COSTS = "costs"


def bench_clip(
    out: Path,
    observer: Observer,
    seeds: tuple[int, ...] = SEEDS,
    size: Size | None = None,
    steps: int = 40,
    workers: int | None = None,
) -> BenchResults:
    """Measure claims C1 to C4, and write them after every seed.

    A bench that was interrupted goes on with what is missing, as long as the code is the same.

    Args:
        out: the results file.
        observer: told how far it is.
        seeds: of the accuracies of C1.
        size: of the same, its defaults when left out.
        steps: timed pairs of steps of C3.
        workers: processes that train at once; the number of cores when None.

    Raises:
        FedloraError: the results cannot be written.
    """
    started = time.perf_counter()
    torch.set_num_threads(1)  # processor time is compared, and one thread has no waiting in it
    kept, kept_costs = Kept.of_bench("clip", Row), Kept.of_bench("clip-costs", Rows)
    known = kept_costs.get(COSTS)
    costs = known or _costs(observer, steps)
    kept_costs.put(COSTS, costs)
    rows: Rows = []
    before = costs[-1]["wall"] if known else 0.0
    observer.phase("accuracy", len(seeds) * len(TASKS) * len(METHODS))
    for number, seed in enumerate(seeds, start=1):
        cases = [Case(task, method, seed, size or Size()) for task, method in _EVERY]
        found = {case: row for case in cases if (row := kept.get(case.name)) is not None}
        before += sum(row["seconds"] for row in found.values())
        observer.advance(len(found))
        for case, row in measured(measure, [case for case in cases if case not in found], workers):
            kept.put(case.name, row)
            found[case] = row
            observer.advance()
        rows += [dict(found[case]) for case in cases]
        claims = accuracy_claims(rows) + cost_claims(costs)
        every = [*over_seeds(rows), *rows, *costs]
        elapsed = time.perf_counter() - started + before
        results = write_results(out, "clip", COMMAND, every, claims, seeds[:number], elapsed)
    kept.clear()
    kept_costs.clear()
    return results


_EVERY = tuple(product(TASKS, METHODS))


def _costs(observer: Observer, steps: int) -> Rows:
    """What ViT-B/32 costs: values and bytes by rank, what is left alone, seconds and memory."""
    started = time.perf_counter()
    observer.phase("ViT-B/32", 4)
    rows: Rows = [{"case": f"ViT-B/32, r {row['rank']}", **row} for row in cost.counts()]
    observer.advance()
    disabled, merged = cost.differences()
    rows.append({"case": "differences", "disabled": disabled, "merged": merged})
    observer.advance()
    rows.append({"case": "a wrapped step over plain PEFT's", **cost.overhead(steps)})
    observer.advance()
    for on, (seconds, peak) in cost.checkpointed().items():
        name = f"checkpointing {'on' if on else 'off'}"
        rows.append({"case": name, "seconds": seconds, "bytes": peak})
    observer.advance()
    rows.append({"case": "all of ViT-B/32", "wall": time.perf_counter() - started})
    return rows
