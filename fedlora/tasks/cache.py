"""Where fetched data lies."""

from pathlib import Path

from fedlora import cache
from fedlora.errors import FedloraError


def cached(source: str, name: str = "") -> Path:
    """A fetched file or folder of a source, or the source's own folder.

    Raises:
        FedloraError: it is not there; the message gives the command that fetches it.
    """
    path = cache.folder() / source / name
    if not path.exists():
        raise FedloraError(
            f"source '{source}': {path} is missing; fetch it with 'make data ONLY={source}'"
            " or set FEDLORA_DATA to the folder that holds it"
        )
    return path
