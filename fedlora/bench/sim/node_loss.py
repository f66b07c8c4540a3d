"""A Ray machine killed in the middle of a round: whether the run ends with the same numbers."""

from pathlib import Path
from typing import Any

from fedlora import config as configuration
from fedlora import run_folder
from fedlora.config import RunConfig, Training
from fedlora.runtime import run as running
from fedlora.server.observer import Silent
from fedlora.wire.ledger import Entry

KILLED_IN = "finetune"
_CONFIG = Path("configs/quickstart.yaml")
_SMALL = (
    "tasks.bank=8",
    "tasks.held_out=2",
    "tasks.splits.train=64",
    "warm_start.rounds=1",
    "finetune.epochs=12",
    "generator={name: mean}",
    "runtime.group=2",  # so that either node has more than one pack in the round
)


def survives_node_loss(root: Path, training: Training) -> bool:
    """Whether hashes of bank, generator and table equal those of an undisturbed run.

    Two Ray machines on this one; the second is killed at the first answer of a round. A run in
    which nothing of that round was asked again does not count, nor one in which a client was lost
    for good.

    training: of both runs; clients trained at once differ by rounding from those trained alone.

    Raises:
        FedloraError: a run fails.
    """
    from ray.cluster_utils import Cluster

    on_ray = [*_SMALL, f"runtime.training={training}", "runtime.name=ray"]
    expected = _run(configuration.load(_CONFIG, on_ray), root / "whole", Silent())
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        config = configuration.load(_CONFIG, [*on_ray, f"runtime.address={cluster.address}"])
        killer = _Killer(lambda: cluster.remove_node(second, allow_graceful=False))
        found = _run(config, root / "disturbed", killer)
    finally:
        cluster.shutdown()
    seed = root / "disturbed" / "seed-0"
    entries = [Entry.from_line(line) for line in (seed / "ledger.jsonl").read_text().splitlines()]
    asked_again = any(e.status == "lost" and e.phase == KILLED_IN for e in entries)
    nothing_lost = (seed / "lost.jsonl").read_text() == ""
    same = bool(found["fingerprint"] == expected["fingerprint"])
    return asked_again and nothing_lost and same


class _Killer(Silent):
    """Kills once, when the first client has answered in `KILLED_IN`."""

    def __init__(self, kill: Any) -> None:
        self._kill = kill
        self._waits = True
        self._phase = ""

    def phase(self, title: str, total: int) -> None:  # noqa: ARG002 - an Observer's
        """Note where the run is."""
        self._phase = title

    def advance(self, steps: int = 1) -> None:
        """An answer has come."""
        if self._waits and steps and self._phase == KILLED_IN:
            self._waits = False
            self._kill()


def _run(config: RunConfig, folder: Path, observer: Silent) -> dict[str, Any]:
    return running.run(config, run_folder.create_at(config, folder), observer)
