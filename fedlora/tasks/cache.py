"""Where fetched data lies: $FEDLORA_DATA, or ~/.cache/fedlora."""

import os
from pathlib import Path

from fedlora.errors import FedloraError


def cache_root() -> Path:
    """The data cache; it need not exist."""
    return Path(os.environ.get("FEDLORA_DATA") or "~/.cache/fedlora").expanduser()


def cached(source: str, name: str = "") -> Path:
    """A fetched file or folder of a source, or the source's own folder.

    Raises:
        FedloraError: it is not there; the message gives the command that fetches it.
    """
    path = cache_root() / source / name
    if not path.exists():
        raise FedloraError(
            f"source '{source}': {path} is missing; fetch it with 'make data ONLY={source}'"
            " or set FEDLORA_DATA to the folder that holds it"
        )
    return path
