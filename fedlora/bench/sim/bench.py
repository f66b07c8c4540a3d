"""`fedlora bench sim`: every workload on its sides, and the claims S1 to S8."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from fedlora.bench.sim.claims import claim, claims, rows
from fedlora.bench.sim.measure import Bench, Measured
from fedlora.bench.sim.node_loss import survives_node_loss
from fedlora.bench.sim.sides import PEERS
from fedlora.bench.sim.workloads import (
    COLD,
    FEW,
    GPU,
    LANGUAGE,
    SECOND,
    TINY_100,
    TINY_1000,
    TOP,
    Workload,
)
from fedlora.errors import FedloraError
from fedlora.registry import nearest
from fedlora.results import BenchResults, Claim, write_results
from fedlora.server.observer import Observer

_FLOWER = ("flower_stock", "flower_cached")
_OURS = ("inprocess", "batched", "auto", "ray", "ray_batched")

NODE_LOSS = "node_loss"

PLAN: dict[str, list[tuple[Workload, tuple[str, ...]]]] = {
    "tiny_1000": [(TINY_1000, ("plain", "pfl", *_FLOWER, *_OURS))],
    "tiny_10000": [(workload, ("inprocess", "batched", "ray_batched")) for workload in COLD],
    "cache": [(TOP, ("inprocess", "cached"))],
    "minilm_10": [(SECOND, ("plain", "pfl", *_FLOWER, "inprocess", "auto", "ray"))],
    "minilm_100": [(workload, ("plain", "inprocess", "batched", "auto")) for workload in FEW],
    "tiny_100": [(TINY_100, ("plain", "pfl", *_FLOWER, *_OURS))],
    "smollm2": [(LANGUAGE, ("plain", "inprocess", "auto", "ray"))],
    "gpu": [(workload, ("inprocess", "batched")) for workload in GPU],
}
"""Groups that `--only` names, each with its workloads and the sides that run them."""


def bench_sim(out: Path | None, only: Sequence[str], observer: Observer) -> BenchResults:
    """Measure claims S1 to S8, and write them if `out` names a file.

    only: groups of `PLAN`, or "node_loss"; all where there are none.

    Raises:
        FedloraError: a group is unknown, the peers are not here, or a side fails.
    """
    groups = _chosen(only)
    if not PEERS.is_dir():
        raise FedloraError(f"{PEERS}: not here; run the bench in the root of a checkout")
    started = time.perf_counter()
    found: dict[str, dict[str, Measured]] = {}
    promised: list[Claim] = []
    command = " ".join(["fedlora bench sim", *(f"--only {group}" for group in only)])
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        warm, cold = Bench(root, observer), Bench(root, observer, turns=1, rounds=1)
        for group in groups:
            if group == NODE_LOSS:
                observer.phase("a Ray machine is killed", 1)
                promised.append(_node_loss(root))
            for workload, sides in PLAN.get(group, []):
                bench = warm if workload.warm_up else cold
                found[workload.name] = bench.measure(workload, sides)
            # After each group, so that what was measured stays when the bench is interrupted.
            results = write_results(
                out or root / "sim.json",
                "sim",
                command if only else "make bench-sim",
                rows(found),
                [*claims(found), *promised],
                (0,),
                time.perf_counter() - started,
            )
    return results


def _node_loss(root: Path) -> Claim:
    what = "a Ray machine killed in a round: equal hashes of bank, generator and table"
    return claim("S8", what, float(survives_node_loss(root / "loss")), "", "==", 1)


def _chosen(only: Sequence[str]) -> list[str]:
    everything = [*PLAN, NODE_LOSS]
    for name in only:
        if name not in everything:
            raise FedloraError(f"--only {name}: no such workload; {nearest(name, everything)}")
    gpu = torch.cuda.is_available()
    if "gpu" in only and not gpu:
        raise FedloraError("--only gpu: there is no GPU here")
    return list(only) or [name for name in everything if gpu or name != "gpu"]
