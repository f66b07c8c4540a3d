"""A small disk to fill, in memory, where this process may mount one."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

BLOCK = 4096
"""Bytes that even the smallest file takes."""


@contextlib.contextmanager
def disk(place: Path, room: int) -> Iterator[bool]:
    """A disk of so many bytes, mounted at a folder; False where that is not allowed."""
    mounted = _mount("-t", "tmpfs", "-o", f"size={max(room, BLOCK)}", "tmpfs", str(place))
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


def make_room(place: Path) -> None:
    """Let a disk that was mounted there grow to a gibibyte."""
    _mount("-o", "remount,size=1g", str(place))


def full_disk_said(error: Exception) -> bool:
    """Whether an error says in one line that a disk is full."""
    said = str(error)
    return "\n" not in said and ("disk is full" in said or "not full" in said)


def _mount(*words: str) -> bool:
    """Whether the system mounts that."""
    try:
        return not subprocess.run(["mount", *words], capture_output=True, check=False).returncode
    except OSError:
        return False
