"""Where what was fetched, converted or measured once is kept for the next run."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(".cache/fedlora")

FORGET_AFTER = 30 * 24 * 3600.0
"""Seconds after which a run that was not touched is no longer gone on with."""


def folder() -> Path:
    """$FEDLORA_DATA; else .cache/fedlora here, which `make` fills; else ~/.cache/fedlora.

    It need not exist.
    """
    named = os.environ.get("FEDLORA_DATA")
    if named:
        return Path(named).expanduser()
    return HERE.absolute() if HERE.is_dir() else Path("~/.cache/fedlora").expanduser()


def forget_old(runs: Path) -> None:
    """Remove the folders of runs that nobody goes on with any more; others may write beside."""
    for folder in runs.iterdir() if runs.is_dir() else ():
        with suppress(OSError):  # no folder, or gone just now
            newest = max((entry.stat().st_mtime for entry in folder.iterdir()), default=0.0)
            if time.time() - max(newest, folder.stat().st_mtime) > FORGET_AFTER:
                shutil.rmtree(folder, ignore_errors=True)
