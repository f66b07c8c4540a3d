"""Parts of a bench on disk, so that one that was interrupted goes on where it was."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from fedlora import atomic, cache
from fedlora.results import is_known, this_commit

T = TypeVar("T")


class Kept(Generic[T]):
    """What has been measured, a JSON file a part.

    folder: of one bench and one commit; None keeps nothing.
    kind: the type of a part.
    earlier: seconds that phases which went on had taken before they were interrupted.
    """

    def __init__(self, folder: Path | None, kind: type[T]) -> None:
        self.folder, self.earlier = folder, 0.0
        self._file = TypeAdapter(kind)

    @classmethod
    def of_bench(cls, name: str, kind: type[T]) -> Self:
        """Of the code as it is committed; nothing is kept of code that was changed since."""
        commit = this_commit()
        folder = cache.folder() / f"bench-{name}" / commit[:12]
        return cls(folder if is_known(commit) else None, kind)

    def get(self, part: str) -> T | None:
        """What a part came to before; None if that is not known."""
        if self.folder is None:
            return None
        try:
            return self._file.validate_json((self.folder / f"{part}.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def put(self, part: str, found: T) -> None:
        """Keep what a part came to."""
        if self.folder is not None:
            atomic.write_text(self.folder / f"{part}.json", self._file.dump_json(found).decode())

    @contextmanager
    def clock(self, phase: str) -> Iterator[Callable[[], None]]:
        """Times a phase; each call of what it gives keeps the seconds so far, earlier ones too."""
        file = None if self.folder is None else self.folder / f"{phase}.seconds"
        before = float(file.read_text()) if file is not None and file.exists() else 0.0
        self.earlier += before
        began = time.perf_counter()

        def tick() -> None:
            if file is not None:
                atomic.write_text(file, str(before + time.perf_counter() - began))

        yield tick

    def clear(self) -> None:
        """Let go of everything: the bench is complete."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
