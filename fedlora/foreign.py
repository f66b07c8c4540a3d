"""Files that somebody else wrote: plain ones of a bearable size, before a byte of them is read."""

import stat
from pathlib import Path

from fedlora.errors import FedloraError

MOST, MOST_TEXT = 4 << 30, 16 << 20
"""Bytes of tensors, and of text, that are read at most."""


def read_bytes(path: Path, most: int = MOST) -> bytes:
    """All of a file.

    Raises:
        FedloraError: it is a pipe or a device, which may never end, or too large.
        OSError: it cannot be read.
    """
    check(path, most)
    return path.read_bytes()


def read_text(path: Path) -> str:
    """All of a file of text in UTF-8; errors as of `read_bytes`, and UnicodeDecodeError."""
    return read_bytes(path, MOST_TEXT).decode("utf-8")


def check(path: Path, most: int = MOST) -> None:
    """Refuse what cannot be read whole; links are followed.

    Raises:
        FedloraError, OSError: as for `read_bytes`.
    """
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise FedloraError(f"'{path}': no plain file; copy its content into one")
    if facts.st_size > most:
        raise FedloraError(
            f"'{path}': {facts.st_size:,} bytes, and {most:,} are read at most; name another file"
        )
