"""Cases of a bench lived in processes beside each other, each once, whatever interrupts it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from fedlora.bench.kept import Kept
from fedlora.bench.processes import measured
from fedlora.server.observer import Observer

Row = dict[str, Any]


class Named(Protocol):
    """A case; what it came to is kept under its name."""

    @property
    def name(self) -> str:
        """Different for every case of a bench."""
        ...


C = TypeVar("C", bound=Named)


class Lives(Generic[C]):
    """Lives cases and keeps their rows.

    Args:
        live: the row of a case; called in another process.
        kept: rows of an interrupted bench, by the names of their cases.
        workers: processes at once; the number of cores when None.
        observer: told how far it is.
    """

    def __init__(
        self, live: Callable[[C], Row], kept: Kept[Row], workers: int | None, observer: Observer
    ) -> None:
        self.live, self.kept, self.workers, self.observer = live, kept, workers, observer

    def rows(self, phase: str, cases: Sequence[C]) -> Mapping[str, Row]:
        """The rows of all cases by their names, in the order of the cases."""
        self.observer.phase(phase, len(cases))
        found = {c.name: row for c in cases if (row := self.kept.get(c.name)) is not None}
        self.observer.advance(len(found))
        missing = [case for case in cases if case.name not in found]
        with self.kept.clock(phase) as tick:
            for case, row in measured(self.live, missing, self.workers):
                found[case.name] = row
                self.kept.put(case.name, row)
                tick()
                self.observer.advance()
        return {case.name: found[case.name] for case in cases}
