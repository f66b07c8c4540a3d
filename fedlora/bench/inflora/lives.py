"""Streams lived in processes beside each other, each once, whatever interrupts the bench."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fedlora.bench.inflora.families import save_untrained
from fedlora.bench.inflora.streams import Case, live
from fedlora.bench.kept import Kept
from fedlora.bench.lives import Lives, Row
from fedlora.server.observer import Observer


class Streams(Lives[Case]):
    """Lives streams, each on a model that has learned nothing.

    Args:
        models: a folder for those models.
        kept, workers, observer: as `Lives` takes them.
    """

    def __init__(
        self, models: Path, kept: Kept[Row], workers: int | None, observer: Observer
    ) -> None:
        super().__init__(partial(live, models=models), kept, workers, observer)
        self.models = models

    def told(self, phase: str, cases: Sequence[Case], **facts: str) -> list[Row]:
        """The rows of all cases, in their order, with some facts in front of each."""
        for seed in {case.seed for case in cases}:
            if not (self.models / str(seed)).is_dir():
                save_untrained(self.models / str(seed), seed)
        return [{**facts, **row} for row in self.rows(phase, cases).values()]
