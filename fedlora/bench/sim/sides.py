"""Who runs a workload: fedlora in its several ways, and what it is measured beside."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PEERS = Path("simulations/peers")
PFL_PYTHON = Path(".cache/pfl/bin/python")
RAY = {"name": "ray", "nodes": 2, "cpus_per_node": 1.0}


@dataclass(frozen=True)
class Side:
    """One way to run a round, in a process of its own.

    what: in words, for the table.
    module: what `python -m` runs, with `arguments` before the folder.
    runtime: the run's own section; for fedlora only.
    threads: numbers of torch threads to try in the first turn; the fastest goes on. None takes
        the number that was fastest for the plain loop.
    python: the interpreter.
    """

    what: str
    module: str = "fedlora.bench.sim.side"
    arguments: tuple[str, ...] = ()
    runtime: Mapping[str, Any] = field(default_factory=dict)
    threads: tuple[int, ...] | None = None
    python: str = sys.executable

    @property
    def available(self) -> bool:
        """Whether its interpreter is there."""
        return Path(self.python).exists()


def _peer(what: str, system: str, **options: Any) -> Side:
    return Side(what, "simulations.peers", (system,), **options)


SIDES: dict[str, Side] = {
    "plain": _peer("plain cached torch and PEFT loop", "plain", threads=(1, 2)),
    "flower_stock": _peer("Flower, FlowerTune's style", "flower_stock", threads=(1,)),
    "flower_cached": _peer("Flower, cached model", "flower_cached", threads=(1,)),
    "pfl": _peer("pfl-research", "pfl_research", python=str(PFL_PYTHON)),
    "inprocess": Side("fedlora, in process, one by one"),
    "cached": Side("fedlora, in process, activation cache", runtime={"activation_cache": 2}),
    "batched": Side("fedlora, in process, batched", runtime={"training": "batched"},
                    threads=(1, 2)),
    "auto": Side("fedlora, in process, auto", runtime={"training": "auto"}),
    "ray": Side("fedlora, on Ray, one by one", runtime=RAY, threads=(1,)),
    "ray_batched": Side("fedlora, on Ray, packed and batched",
                        runtime=RAY | {"training": "batched"}, threads=(1,)),
}  # fmt: skip
