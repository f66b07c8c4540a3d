"""Why one of Flower's processes can never work, read from the end of its log."""

import re
from pathlib import Path

_TAIL = 8 << 10

_CAUSES = (
    (
        r"certificate verify failed|unable to get local issuer|self.signed certificate"
        r"|SSL/TLS handshake error",
        "the server's certificate is not signed by this folder's authority, or not for this"
        " address: copy the client's folder again, check its clock, or name another host",
    ),
    (
        r"code: 2\d\d\d.*|Public key not|not registered|node is not|412",
        "the server does not know this SuperNode's key: have it let in with fedlora deploy invite",
    ),
    (
        r"Invalid SuperNode authentication|401 Unauthorized",
        "the server refuses this SuperNode's signature: its clock is off by minutes, or its key"
        " is another's",
    ),
    (r"address already in use|Address already in use", "its port is taken: name another"),
    (
        r"Runtime version incompatib\w+|RUNTIME_VERSION_INCOMPATIBLE|version.{1,40}incompatible",
        "the other side runs another version of flwr: install the same on both",
    ),
    (
        r"database schema|SUPERLINK_DATABASE_SCHEMA_MISMATCH",
        "its database was written by another version of flwr: move state/ away",
    ),
)


def verdict(name: str, log: Path, since: int) -> str | None:
    """Why a process that has ended would only end again; None when it may have been an accident.

    Args:
        name: of the process.
        log: what it wrote.
        since: where in the log its last start began, in bytes.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(since, log.stat().st_size - _TAIL))
            told = file.read().decode(errors="replace")
    except OSError:
        return None
    for pattern, reason in _CAUSES:
        if re.search(pattern, told):
            return f"{name}: {reason} ({log})"
    return None
