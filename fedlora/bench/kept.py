"""Parts of a bench on disk, so that one that was interrupted goes on where it was."""

import shutil
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
    """

    def __init__(self, folder: Path | None, kind: type[T]) -> None:
        self.folder = folder
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

    def clear(self) -> None:
        """Let go of everything: the bench is complete."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
