"""Where what was fetched, converted or measured once is kept for the next run."""

import os
from pathlib import Path

HERE = Path(".cache/fedlora")


def folder() -> Path:
    """$FEDLORA_DATA; else .cache/fedlora here, which `make` fills; else ~/.cache/fedlora.

    It need not exist.
    """
    named = os.environ.get("FEDLORA_DATA")
    if named:
        return Path(named).expanduser()
    return HERE.absolute() if HERE.is_dir() else Path("~/.cache/fedlora").expanduser()
