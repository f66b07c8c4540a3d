"""`fedlora bench sim`: every workload on its sides, and the claims S1 to S8."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from fedlora.bench.chosen import chosen
from fedlora.bench.kept import Kept
from fedlora.bench.sim.claims import claims, rows
from fedlora.bench.sim.measure import Bench
from fedlora.bench.sim.node_loss import survives_node_loss
from fedlora.bench.sim.outcome import Outcome
from fedlora.bench.sim.plan import NODE_LOSS, PLAN, TRAINED
from fedlora.bench.sim.sides import PEERS
from fedlora.errors import FedloraError
from fedlora.results import BenchResults, write_results
from fedlora.server.observer import Observer


def bench_sim(out: Path | None, only: Sequence[str], observer: Observer) -> BenchResults:
    """Measure claims S1 to S8, and write them if `out` names a file.

    The file is written after each group, and a whole bench that was interrupted goes on with the
    groups that are missing as long as the code is the same. Claims whose workloads are still to
    come, or whose sides could not be measured, stand in the file with the reason.

    only: groups of `PLAN`; all where there are none.

    Raises:
        FedloraError: a group is unknown, or the peers are not here.
    """
    groups = _chosen(only)
    if not PEERS.is_dir():
        raise FedloraError(f"{PEERS}: not here; run the bench in the root of a checkout")
    kept = Kept(None, Outcome) if only else Kept.of_bench("sim", Outcome)
    name = out.stem if out else "sim"
    command = " ".join(["fedlora bench sim", *(f"--only {group}" for group in only)])
    total = Outcome()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for group in groups:
            outcome = kept.get(group) or _measured(group, root, observer)
            kept.put(group, outcome)
            total.add(outcome)
            results = write_results(
                out or root / "sim.json",
                name,
                f"{command} --out results/{name}.json" if only else "make bench-sim",
                rows(total),
                claims(total, groups),
                (0,),
                total.seconds,
            )
    kept.clear()
    return results


def _measured(group: str, root: Path, observer: Observer) -> Outcome:
    """One group; what fails in it is noted and costs nothing else."""
    began = time.perf_counter()
    outcome = Outcome()
    warm, cold = Bench(root, observer), Bench(root, observer, rounds=1)
    if group == NODE_LOSS:
        observer.phase("a Ray machine is killed", len(TRAINED))
        for training in TRAINED:
            try:
                outcome.survived[training] = survives_node_loss(root / training, training)
            except FedloraError as error:
                outcome.failures[f"{NODE_LOSS}: {training}"] = str(error)
            observer.advance()
    for workload, sides in PLAN[group]:
        if workload.device == "cuda" and not torch.cuda.is_available():
            outcome.failures[workload.name] = "there is no GPU here"
            continue
        bench = warm if workload.warm_up else cold
        try:
            outcome.found[workload.name] = bench.measure(workload, sides)
        except FedloraError as error:
            outcome.failures[workload.name] = str(error)
            observer.note(str(error))
    outcome.failures |= warm.failures | cold.failures
    outcome.seconds = time.perf_counter() - began
    return outcome


def _chosen(only: Sequence[str]) -> list[str]:
    groups = chosen(only, PLAN)
    if "gpu" in only and not torch.cuda.is_available():
        raise FedloraError("--only gpu: there is no GPU here")
    return groups
