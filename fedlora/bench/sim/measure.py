"""One workload on several sides, in alternating turns."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from fedlora.bench.sim.export import START, export, flat, write_settings
from fedlora.bench.sim.process import Cost, SideProcess
from fedlora.bench.sim.sides import SIDES, Side
from fedlora.bench.sim.workloads import Workload
from fedlora.errors import FedloraError
from fedlora.server.observer import Observer

TURNS, ROUNDS = 2, 3
"""Turns of every side, and timed rounds of each: medians are of six."""

TOLERANCE = 1e-3
"""Largest accepted ||reply - reference|| / ||reference - start|| of any client: float32 rounding,
which Adam enlarges where a gradient is nearly zero."""

_ENV = {
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_WAIT_POLICY": "passive",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass
class Measured:
    """What a side took.

    clients: in a timed round.
    rounds: the timed ones.
    first: from the start of the process to the first client's reply; fedlora's own sides only.
    ready: from the start of the process to the first round that was asked for.
    peak: resident bytes.
    difference: the largest of any client to the reference, relative to what it learned.
    """

    clients: int
    threads: int
    rounds: list[Cost] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    peak: int = 0
    difference: float = 0.0

    @property
    def seconds(self) -> float:
        """Median of a round."""
        return statistics.median(cost.seconds for cost in self.rounds)

    @property
    def cpu(self) -> float:
        """Median processor seconds of a round."""
        return statistics.median(cost.cpu for cost in self.rounds)

    @property
    def rate(self) -> float:
        """Clients a second; none for a side whose numbers are not the reference's."""
        return self.clients / self.seconds if self.difference <= TOLERANCE else 0.0


class Bench:
    """Measures workloads in a folder of its own.

    turns, rounds: of every side.
    """

    def __init__(
        self, root: Path, observer: Observer, turns: int = TURNS, rounds: int = ROUNDS
    ) -> None:
        self.root = root
        self.observer = observer
        self.turns = turns
        self.rounds = rounds

    def measure(self, workload: Workload, sides: Sequence[str]) -> dict[str, Measured]:
        """Every side that can run here; the first is the reference of numbers and threads.

        Raises:
            FedloraError: a side fails.
        """
        present = [side for side in sides if SIDES[side].available]
        for side in set(sides) - set(present):
            self.observer.note(f"{side} is left out: run simulations/peers/install_{side}.sh")
        folder = self.root / workload.name.replace(" ", "_").replace(",", "")
        peers = [workload.timed(s) for s in present if SIDES[s].arguments]
        base = export(workload, max(peers, default=1), folder)
        best: dict[str, Measured] = {}
        self.observer.phase(workload.name, self.turns * len(present))
        for turn in range(self.turns):
            for side in present if turn % 2 == 0 else reversed(present):
                tried = self._threads(SIDES[side], best.get(side), best.get(present[0]))
                found = [self._turn(workload, side, n, folder, base) for n in tried]
                fastest = min(found, key=lambda measured: measured.seconds)
                best[side] = _joined(best.get(side), fastest)
                self.observer.advance()
        _compare(best, present[0], folder)
        return best

    def _threads(
        self, side: Side, before: Measured | None, reference: Measured | None
    ) -> Sequence[int]:
        if before is not None:
            return (before.threads,)
        return side.threads or ((reference.threads,) if reference else (1,))

    def _turn(
        self, workload: Workload, name: str, threads: int, folder: Path, base: dict[str, Any]
    ) -> Measured:
        """One process: its start, a warm-up, the timed rounds, its end."""
        side, clients = SIDES[name], workload.timed(name)
        runtime = {**side.runtime, "threads": threads}
        settings = {
            "clients": clients,
            "warm_up": min(workload.warm_up, clients),
            "config": workload.config(**runtime).model_dump(mode="json"),
        }
        write_settings(folder, base | settings)
        command = [side.python, "-m", side.module, *side.arguments, str(folder.absolute())]
        env = _ENV | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(Path.cwd())}
        process = SideProcess(command, env, folder / f"{name}.log")
        measured = Measured(clients, threads)
        try:
            if not side.arguments and workload.warm_up:
                measured.first.append(process.reach("first").seconds)
            measured.ready.append(process.reach("ready").seconds)
            if workload.warm_up:
                process.round()
            measured.rounds += [process.round() for _ in range(self.rounds)]
        except FedloraError as error:
            raise FedloraError(f"{workload.name}, {side.what}: {error}") from None
        finally:
            process.close()
        measured.peak = process.peak
        (folder / "replies").replace(folder / f"replies-{name}-{threads}")
        return measured


def _joined(before: Measured | None, now: Measured) -> Measured:
    """Two turns of one side as one."""
    if before is None:
        return now
    before.rounds += now.rounds
    before.first += now.first
    before.ready += now.ready
    before.peak = max(before.peak, now.peak)
    return before


def _compare(found: dict[str, Measured], reference: str, folder: Path) -> None:
    """Note how far each side's replies of its last round are from the reference's."""
    start = flat(load_file(folder / START))
    expected = _replies(folder, reference, found[reference].threads)
    for side, measured in found.items():
        replies = _replies(folder, side, measured.threads)
        common = sorted(set(replies) & set(expected))
        measured.difference = max(
            float((replies[k] - expected[k]).norm() / (expected[k] - start).norm()) for k in common
        )


def _replies(folder: Path, side: str, threads: int) -> dict[int, Tensor]:
    held = load_file(folder / f"replies-{side}-{threads}")
    return dict(zip(held["clients"].tolist(), held["values"].to(torch.float64), strict=True))
