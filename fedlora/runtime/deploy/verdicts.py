"""Why one of Flower's processes ended, read from the end of its log."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_TAIL = 8 << 10

_CERTIFICATE = (
    "the server's certificate is not signed by this folder's authority, or not for this"
    " address: copy the client's folder again, check its clock, or name another host"
)
_NOT_LET_IN = (
    "the server does not know this SuperNode's key: have it let in with fedlora deploy invite, or"
    " its file copied to the server's nodes/"
)
_COUNTED = (
    "the server still counts this SuperNode's last connection, for a minute; where that lasts,"
    " another machine uses a copy of this folder"
)
_TAKEN_BACK = "its key was taken back: ask whoever runs the server for another invitation"
_VERSION = "the other side runs another version of flwr: install the same on both"

# Pattern, reason, and whether trying again is of no use.
_CAUSES = {
    "SuperNode": (
        (
            r"certificate has expired",
            "a certificate has expired, the server's (renew it with fedlora deploy renew) or the"
            " authority's (ca.crt): fedlora deploy doctor says which",
            True,
        ),
        (r"certificate verify failed", _CERTIFICATE, True),
        # Flower says this of a key that was online just now, the gate that of one it does not know.
        (r"\[code: 2004\]", _COUNTED, False),
        (r"410 Gone", _TAKEN_BACK, True),
        (r"412 Precondition Failed", _NOT_LET_IN, False),
        (
            r"Invalid SuperNode authentication|401 Unauthorized",
            "the server refuses this SuperNode's signature: its key was taken back, or its clock is"
            " off by minutes: ask whoever runs the server, and set the time (NTP)",
            True,
        ),
        (r"Runtime version incompatib|RUNTIME_VERSION_INCOMPATIBLE", _VERSION, True),
    ),
    "SuperLink": (
        (
            r"[Aa]ddress already in use",
            "the control_port of federation.json is taken: free it, or name another there",
            True,
        ),
        (
            r"database schema|SUPERLINK_DATABASE_SCHEMA_MISMATCH",
            "its database was written by another version of flwr: move state/ away",
            True,
        ),
    ),
}


@dataclass(frozen=True)
class Verdict:
    """final: whether the process would only end again, however often it is started."""

    reason: str
    final: bool


Judge = Callable[[], Verdict | None]
"""Asked when a process has ended; None where it may have been an accident."""


def verdict(name: str, log: Path, since: int) -> Verdict | None:
    """Why a process ended; None where its log does not say.

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
    for pattern, reason, final in _CAUSES.get(name, ()):
        if re.search(pattern, told):
            return Verdict(f"{name}: {reason} ({log})", final)
    return None
