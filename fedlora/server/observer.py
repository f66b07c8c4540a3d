"""Who watches a run: a progress bar, a log, or nobody."""

from collections.abc import Callable, Mapping
from typing import Protocol

STEPS = 100
"""Of the phase in which a generator is fitted."""


class Observer(Protocol):
    """Told what happens, as it happens."""

    def phase(self, title: str, total: int) -> None:
        """A phase of `total` steps begins."""
        ...

    def advance(self, steps: int = 1) -> None:
        """Steps of the phase are done."""
        ...

    def note(self, text: str) -> None:
        """Something a person should read: a lost client, a warning."""
        ...


def learning(
    observer: Observer, name: str, then: Callable[[Mapping[str, float]], None] = lambda _: None
) -> Callable[[Mapping[str, float]], None]:
    """Begin the phase in which a generator of this name is fitted; takes the fit's progress.

    then: is told the same, but for where the fit goes on.
    """
    observer.phase(f"learn {name}", STEPS)
    done = 0

    def progress(losses: Mapping[str, float]) -> None:
        nonlocal done
        if behind := losses.get("resumed"):
            observer.note(f"learn {name}: goes on after epoch {behind:.0f}")
        share = losses["epoch"] / losses["epochs"] if losses.get("epochs") else 1.0
        observer.advance(int(share * STEPS) - done)
        done = int(share * STEPS)
        then({key: value for key, value in losses.items() if key != "resumed"})

    return progress


class Silent:
    """Watches nothing."""

    def phase(self, title: str, total: int) -> None:
        """Ignored."""

    def advance(self, steps: int = 1) -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""
