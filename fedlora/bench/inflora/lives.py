"""Streams lived in processes beside each other, each once, whatever interrupts the bench."""

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from fedlora.bench.inflora.families import save_untrained
from fedlora.bench.inflora.streams import Case, live
from fedlora.bench.kept import Kept
from fedlora.server.observer import Observer

Row = dict[str, Any]

CLOCK = "clock"
"""The part under which the seconds that were spent so far are kept."""


class Lives:
    """Lives cases and keeps their rows.

    Args:
        models: a folder for the models that have learned nothing.
        kept: rows of an interrupted bench, by the names of their cases.
        workers: processes at once.
        observer: told how far it is.
    """

    def __init__(self, models: Path, kept: Kept[Row], workers: int, observer: Observer) -> None:
        self.models, self.kept, self.workers, self.observer = models, kept, workers, observer
        self._before = float((kept.get(CLOCK) or {"seconds": 0.0})["seconds"])
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """That this bench took until now, before an interruption and since."""
        return self._before + time.perf_counter() - self._started

    def rows(self, phase: str, cases: Sequence[Case], **facts: str) -> list[Row]:
        """The rows of all cases, in their order, with some facts in front of each."""
        self.observer.phase(phase, len(cases))
        for seed in {case.seed for case in cases}:
            if not (self.models / str(seed)).is_dir():
                save_untrained(self.models / str(seed), seed)
        missing = [case for case in cases if self.kept.get(case.name) is None]
        self.observer.advance(len(cases) - len(missing))
        fresh = self._lived(missing)
        rows = [fresh.get(case.name) or self.kept.get(case.name) or {} for case in cases]
        return [{**facts, **row} for row in rows]

    def _lived(self, cases: Sequence[Case]) -> dict[str, Row]:
        if not cases:
            return {}
        found: dict[str, Row] = {}
        spawned = multiprocessing.get_context("spawn")
        workers = min(self.workers, len(cases))
        with ProcessPoolExecutor(workers, mp_context=spawned) as pool:
            lived = pool.map(partial(live, models=self.models), cases)
            for case, row in zip(cases, lived, strict=True):
                found[case.name] = row
                self.kept.put(case.name, row)
                self.kept.put(CLOCK, {"seconds": self.seconds})
                self.observer.advance()
        return found
