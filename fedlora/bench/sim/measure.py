"""One workload on several sides, in alternation."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from fedlora.bench.sim.export import START, export, flat
from fedlora.bench.sim.measured import Measured
from fedlora.bench.sim.running import Running
from fedlora.bench.sim.sides import SIDES
from fedlora.bench.sim.workloads import Workload
from fedlora.errors import FedloraError
from fedlora.server.observer import Observer

VALUE = 4
"""Bytes of one, as float32."""

ROUNDS = 5
"""Timed rounds of every side that is warm: medians are of five."""


class Bench:
    """Measures workloads in a folder of its own.

    rounds: timed ones of every side.

    Attributes:
        failures: why a side of a workload was not measured, by "workload: side".
    """

    def __init__(self, root: Path, observer: Observer, rounds: int = ROUNDS) -> None:
        self.root = root
        self.observer = observer
        self.rounds = rounds
        self.failures: dict[str, str] = {}

    def measure(self, workload: Workload, sides: Sequence[str]) -> dict[str, Measured]:
        """Every side that can run here; the first is the reference of numbers and threads.

        Those that cost nothing while they wait live at the same time and do their rounds in turn.
        Those that never rest, Ray's and Flower's, live one at a time between rounds of the others,
        and so do all where starts are measured.
        A side that fails is left out.

        Raises:
            FedloraError: the reference fails.
        """
        folder = self.root / workload.name.replace(" ", "_").replace(",", "")
        present = [side for side in sides if SIDES[side].available]
        for side in set(sides) - set(present):
            self._left_out(workload, side, f"run simulations/peers/install_{side}.sh")
        peers = [workload.timed(side) for side in present if SIDES[side].arguments]
        race = _Race(workload, present[0], folder, export(workload, max(peers, default=1), folder))
        restless = [side for side in present if workload.restarts or SIDES[side].restless]
        quiet = [side for side in present if side not in restless]
        self.observer.phase(workload.name, len(quiet) + workload.turns * len(restless))
        try:
            for side in quiet:
                with self._forgiving(race, side):
                    race.start_fastest(side)
            for turn, rounds in enumerate(_shares(self.rounds, workload.turns)):
                for number in range(rounds):
                    for side in list(race.alive)[:: 1 if number % 2 == 0 else -1]:
                        with self._forgiving(race, side):
                            race.alive[side].round()
                for side in restless[:: 1 if turn % 2 == 0 else -1]:
                    with self._forgiving(race, side):
                        race.whole_turn(side, rounds)
                    self.observer.advance()
        finally:
            for side in list(race.alive):
                race.end(side)
                self.observer.advance()
        _compare(race.found, present[0], folder)
        return {side: race.found[side] for side in present if side in race.found}

    @contextmanager
    def _forgiving(self, race: "_Race", side: str) -> Iterator[None]:
        """A side that fails costs itself alone, unless it is the reference."""
        try:
            yield
        except FedloraError as error:
            race.forget(side)
            if side == race.reference:
                raise FedloraError(f"{race.workload.name}, {SIDES[side].what}: {error}") from None
            self._left_out(race.workload, side, str(error))

    def _left_out(self, workload: Workload, side: str, why: str) -> None:
        self.failures[f"{workload.name}: {side}"] = why
        self.observer.note(f"{workload.name}: {SIDES[side].what} is left out: {why}")


class _Race:
    """The sides of one workload: who is alive, and what those have taken that are not."""

    def __init__(
        self, workload: Workload, reference: str, folder: Path, base: dict[str, Any]
    ) -> None:
        self.workload = workload
        self.reference = reference
        self.alive: dict[str, Running] = {}
        self.found: dict[str, Measured] = {}
        self._threads = workload.threads
        self._folder = folder
        self._base = base

    def start_fastest(self, side: str) -> None:
        """Start a side with the threads that suit the reference, which are tried in one round."""
        for threads in self._threads:
            one = self._start(side, threads)
            if len(self._threads) > 1:
                one.round()
                before = self.alive.get(side)
                if before and before.measured.seconds <= one.measured.seconds:
                    one.close()
                    continue
            self.forget(side)
            self.alive[side] = one
        self._threads = (self.alive[side].measured.threads,)
        self.alive[side].measured.rounds.clear()

    def whole_turn(self, side: str, rounds: int) -> None:
        """Start a side, let it do its rounds, and end it."""
        self.alive[side] = self._start(side, 1)
        for _ in range(rounds):
            self.alive[side].round()
        self.end(side)

    def end(self, side: str) -> None:
        """End a side and keep what it took, beside its other turns."""
        one = self.alive.pop(side)
        one.close()
        if side in self.found:
            self.found[side].add(one.measured)
        else:
            self.found[side] = one.measured

    def forget(self, side: str) -> None:
        """End a side, if it lives, and keep nothing of it."""
        self.found.pop(side, None)
        if side in self.alive:
            self.alive.pop(side).close()

    def _start(self, side: str, threads: int) -> Running:
        return Running(self.workload, side, threads, self._folder, self._base)


def _shares(rounds: int, turns: int) -> list[int]:
    """Rounds of each turn, as equal as they can be."""
    return [rounds // turns + (turn < rounds % turns) for turn in range(turns)]


def _compare(found: dict[str, Measured], reference: str, folder: Path) -> None:
    """Note how far each side's replies of its last round are from the reference's."""
    start = flat(load_file(folder / START)).double()
    expected = _replies(folder, reference)
    for side, measured in found.items():
        differences = apart(_replies(folder, side), expected, start)
        measured.difference = max(differences)
        measured.compared = len(differences)
        measured.adapter = VALUE * start.numel()
        measured.beyond = sum(difference > measured.tolerance for difference in differences)


def apart(
    replies: Mapping[int, Tensor], expected: Mapping[int, Tensor], start: Tensor
) -> list[float]:
    """||reply - expected|| / ||expected - start|| of each client that both have, or should have.

    Infinite where a value is not finite, and for each client that the side with fewer has alone;
    a side without any counts as one such client.
    """
    common = sorted(set(replies) & set(expected))
    alone = max(min(len(replies), len(expected)), 1) - len(common)
    found = [
        float((replies[k] - expected[k]).norm() / (expected[k] - start).norm()) for k in common
    ]
    return [x if math.isfinite(x) else math.inf for x in found] + [math.inf] * alone


def _replies(folder: Path, side: str) -> dict[int, Tensor]:
    """By client; none of a side that could not write them."""
    file = folder / f"replies-{side}"
    if not file.exists():
        return {}
    held = load_file(file)
    return dict(zip(held["clients"].tolist(), held["values"].to(torch.float64), strict=True))
