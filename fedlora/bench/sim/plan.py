"""Which workloads are measured, on which sides, in which order."""

from fedlora.bench.sim.workloads import (
    COLD,
    FEW,
    GPU,
    LANGUAGE,
    LARGE,
    SECOND,
    STARTS,
    TINY_100,
    TINY_1000,
    TOP,
    Workload,
)
from fedlora.config import Training

NODE_LOSS = "node_loss"
TRAINED: tuple[Training, ...] = ("sequential", "batched")
"""How a run trains that loses a machine."""

_RIVALS = ("plain", "pfl", "flower_stock", "flower_cached")
_ALONE = ("inprocess", "batched", "auto")
_OURS = (*_ALONE, "ray", "ray_batched")

PLAN: dict[str, list[tuple[Workload, tuple[str, ...]]]] = {
    NODE_LOSS: [],
    "smollm2": [(LANGUAGE, (*_RIVALS, "inprocess", "batched", "ray"))],
    "minilm_100": [(workload, (*_RIVALS, *_ALONE, "ray_batched")) for workload in FEW],
    "tiny_1000": [(TINY_1000, (*_RIVALS, *_OURS))],
    "minilm_10": [(SECOND, (*_RIVALS, *_ALONE, "ray"))],
    "tiny_10000": [(workload, ("inprocess", "batched", "ray_batched")) for workload in COLD],
    "starts": [(workload, ("inprocess", "ray")) for workload in STARTS],
    "cache": [(TOP, ("inprocess", "cached", "disk"))],
    "bf16": [(LARGE, ("inprocess", "bf16"))],
    "tiny_100": [(TINY_100, (*_RIVALS, *_OURS))],
    "gpu": [(workload, ("plain", "inprocess", "batched")) for workload in GPU],
}
"""Groups that `--only` names, each with its workloads and the sides that run them."""
