"""What a user can do about an SQLite file that refuses."""

import sqlite3

ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises: Python cannot decode a complaint that quotes damaged text."""

_REMEDIES = {
    "SQLITE_FULL": "the disk is full: free some space and run again",
    "SQLITE_READONLY": "it cannot be written to: change its permissions or choose another folder",
    "SQLITE_CANTOPEN": "it cannot be opened: check the path and its permissions",
    "SQLITE_BUSY": "another process is writing to it: wait for that process or end it",
    "SQLITE_IOERR": "the disk refused: check that it is not full and still works",
}


def remedy(error: Exception) -> str | None:
    """What is wrong and what to do; None where the file itself is damaged, or the error is ours."""
    code = "_".join(str(getattr(error, "sqlite_errorname", "")).split("_")[:2])
    return _REMEDIES.get(code)
