"""The most memory that a piece of work takes, as the kernel counts it."""

import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

R = TypeVar("R")

_STATUS = Path("/proc/self/status")


def with_peak(act: Callable[[], R]) -> tuple[R, int | None]:
    """What `act` gives, and the most resident bytes of this process beyond those before it.

    None where no kernel counts them from a mark: only Linux does (proc(5), clear_refs).
    """
    if not _STATUS.exists():
        return act(), None
    gc.collect()  # or what is let go of meanwhile would hide what is taken
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")
    done = act()
    found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    assert found is not None
    return done, 1024 * int(found[1]) - before
