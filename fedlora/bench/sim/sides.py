"""Who runs a workload: fedlora in its several ways, and what it is measured beside."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlora.bench.sim.measured import TOLERANCE

PEERS = Path("simulations/peers")
PFL_PYTHON = Path(".cache/pfl/bin/python")
RAY = {"name": "ray", "nodes": 2, "cpus_per_node": 1.0}


@dataclass(frozen=True)
class Side:
    """One way to run a round, in a process of its own.

    what: in words, for the table.
    module: what `python -m` runs, with `arguments` before the folder.
    runtime: the run's own section; for fedlora only.
    dtype: of the frozen base model; for fedlora only.
    restless: its processes work while it waits, so that it must live alone; one torch thread each.
    tolerance: the largest difference to the reference's numbers that counts as the same.
    python: the interpreter.
    """

    what: str
    module: str = "fedlora.bench.sim.side"
    arguments: tuple[str, ...] = ()
    runtime: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    restless: bool = False
    tolerance: float = TOLERANCE
    python: str = sys.executable

    @property
    def available(self) -> bool:
        """Whether its interpreter is there."""
        return Path(self.python).exists()


def _peer(what: str, system: str, **options: Any) -> Side:
    return Side(what, "simulations.peers", (system,), **options)


SIDES: dict[str, Side] = {
    "plain": _peer("plain cached torch and PEFT loop", "plain"),
    "flower_stock": _peer("Flower, FlowerTune's style", "flower_stock", restless=True),
    "flower_cached": _peer("Flower, cached model", "flower_cached", restless=True),
    "pfl": _peer("pfl-research", "pfl_research", python=str(PFL_PYTHON)),
    "inprocess": Side("fedlora, in process, one by one"),
    "cached": Side("fedlora, in process, activation cache", runtime={"activation_cache": 16}),
    "disk": Side("fedlora, in process, activation cache on disk",
                 runtime={"activation_disk": 64}),
    "batched": Side("fedlora, in process, batched", runtime={"training": "batched"}),
    "auto": Side("fedlora, in process, auto", runtime={"training": "auto"}),
    "bf16": Side("fedlora, in process, bf16 base", dtype="bfloat16", tolerance=0.3),
    "ray": Side("fedlora, on Ray, one by one", runtime=RAY, restless=True),
    "ray_batched": Side("fedlora, on Ray, packed and batched",
                        runtime=RAY | {"training": "batched"}, restless=True),
}  # fmt: skip
