"""A side at work: its process from the start over the rounds to its replies."""

import shutil
from pathlib import Path
from typing import Any

from fedlora import cache
from fedlora.bench.sim.export import write_settings
from fedlora.bench.sim.measured import Measured
from fedlora.bench.sim.process import SideProcess
from fedlora.bench.sim.sides import SIDES
from fedlora.bench.sim.workloads import Workload
from fedlora.client.client import MEMORY

COMPARED = 500
"""Clients whose replies are kept for comparison: the largest slice of any reference."""

_ENV = {
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_WAIT_POLICY": "passive",
    "TOKENIZERS_PARALLELISM": "false",
}


class Running:
    """One process of a side, started and warmed up.

    folder: of the exported workload; base: what its federation.json says to every side.

    Attributes:
        measured: what it has taken so far.

    Raises:
        FedloraError: the process ends before it is warm.
    """

    def __init__(
        self, workload: Workload, name: str, threads: int, folder: Path, base: dict[str, Any]
    ) -> None:
        self.name, self._folder = name, folder
        side, clients = SIDES[name], workload.timed(name)
        warm_up = min(workload.warm_up, clients)
        settings = {
            "clients": clients,
            "warm_up": warm_up,
            "device": workload.device,
            "chosen": workload.chosen(clients),
            "compared": workload.chosen(min(COMPARED, workload.clients)),
            "config": workload.config(
                side.dtype, **{**side.runtime, "threads": threads}
            ).model_dump(mode="json"),
        }
        write_settings(folder, base | settings)
        self.measured = Measured(clients, threads, tolerance=side.tolerance)
        command = [side.python, "-m", side.module, *side.arguments, str(folder.absolute())]
        env = _ENV | {
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": str(Path.cwd()),
            "FEDLORA_DATA": str(_forgetful_cache(folder / f"cache-{name}")),
        }
        self._process = SideProcess(command, env, folder / f"{name}.log")
        try:
            if not side.arguments and workload.warm_up:
                self.measured.first.append(self._process.reach("first").seconds)
            self.measured.ready.append(self._process.reach("ready").seconds)
            if workload.warm_up:
                self.measured.warm.append((warm_up, self._process.round()))
        except BaseException:
            self._process.close()
            raise

    def round(self) -> None:
        """One timed round.

        Raises:
            FedloraError: the process ends in it.
        """
        self.measured.rounds.append(self._process.round())

    def close(self) -> None:
        """Let it write its replies, and end it."""
        self._process.close()
        self.measured.peak = max(self.measured.peak, self._process.peak)
        replies = self._folder / "replies"
        if replies.exists():
            replies.replace(self._folder / f"replies-{self.name}")


def _forgetful_cache(folder: Path) -> Path:
    """The cache as it is, but for what `auto` has found before: each process finds that anew."""
    own = folder.absolute()
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    for entry in cache.folder().glob("*"):
        if entry.name != MEMORY:
            (own / entry.name).symlink_to(entry.absolute())
    return own
