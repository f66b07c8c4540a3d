"""Streams lived in processes beside each other, each once, whatever interrupts the bench."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fedlora.bench.inflora.families import save_untrained
from fedlora.bench.inflora.streams import Case, live
from fedlora.bench.kept import Kept
from fedlora.bench.processes import measured
from fedlora.server.observer import Observer

Row = dict[str, Any]

CLOCK = "clock"
"""The part under which the seconds that were spent so far are kept."""


class Lives:
    """Lives cases and keeps their rows.

    Args:
        models: a folder for the models that have learned nothing.
        kept: rows of an interrupted bench, by the names of their cases.
        workers: processes at once; the number of cores when None.
        observer: told how far it is.
    """

    def __init__(
        self, models: Path, kept: Kept[Row], workers: int | None, observer: Observer
    ) -> None:
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
        found = {c.name: row for c in cases if (row := self.kept.get(c.name)) is not None}
        self.observer.advance(len(found))
        missing = [case for case in cases if case.name not in found]
        for case, row in measured(partial(live, models=self.models), missing, self.workers):
            found[case.name] = row
            self.kept.put(case.name, row)
            self.kept.put(CLOCK, {"seconds": self.seconds})
            self.observer.advance()
        return [{**facts, **found[case.name]} for case in cases]
