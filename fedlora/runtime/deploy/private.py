"""Files for their owner's eyes alone."""

import os
import secrets
import stat
from pathlib import Path

from fedlora.errors import FedloraError


def write(path: Path, data: bytes) -> None:
    """Make `path` hold `data`, readable by its owner alone from the moment that it exists.

    Raises:
        FedloraError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FedloraError(f"cannot write '{path}': {error.strerror}") from None


def folder(path: Path) -> Path:
    """Make a folder that only its owner may enter.

    Raises:
        FedloraError: it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise FedloraError(f"cannot make the folder '{path}': {error.strerror}") from None
    return path


def check(path: Path) -> None:
    """Refuse a secret that others can read.

    Raises:
        FedloraError: it is missing, or its mode gives others a right.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise FedloraError(f"{path}: {error.strerror}; copy the folder again") from None
    if mode & 0o077:
        raise FedloraError(f"{path}: others can read it (mode {mode:o}); run: chmod 600 {path}")
