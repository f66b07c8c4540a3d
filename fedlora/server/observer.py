"""Who watches a run: a progress bar, a log, or nobody."""

from typing import Protocol


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


class Silent:
    """Watches nothing."""

    def phase(self, title: str, total: int) -> None:
        """Ignored."""

    def advance(self, steps: int = 1) -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""
