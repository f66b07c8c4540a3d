"""Progress of a run on a terminal, or a line a phase where there is none."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class ConsoleObserver:
    """One bar for the phase that runs; finished phases stay as lines above it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._title = ""

    def phase(self, title: str, total: int) -> None:
        """Begin a phase; the one before is finished."""
        self._finish()
        self._title = title
        self._task = self._progress.add_task(title, total=max(total, 1))

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.advance(self._task, steps)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(text, style="yellow", markup=False, highlight=False)

    def _finish(self) -> None:
        if self._task is None:
            return
        task = self._progress.tasks[self._progress.task_ids.index(self._task)]
        self._progress.remove_task(self._task)
        elapsed = task.elapsed or 0.0
        self._progress.console.print(
            f"  {self._title:<24} {int(task.completed):>5}   {elapsed:7.1f} s",
            style="dim",
            markup=False,
            highlight=False,
        )
        self._task = None

    def close(self) -> None:
        """The last phase is over."""
        self._finish()


@contextmanager
def watching() -> Iterator[ConsoleObserver]:
    """An observer that draws on standard error, so that standard output stays data."""
    columns = (
        TextColumn("  {task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        observer = ConsoleObserver(progress)
        yield observer
        observer.close()
