"""Rounds at the word of whoever measures: it says "go", we say "done".

Clocks and counters are read on the other side of the pipe, the same way for every system.
"""

import sys
from collections.abc import Iterator

_out = sys.stdout


def await_go(word: str) -> bool:
    """Say where we are, then wait; False when no round follows."""
    _out.write(f"@{word}\n")
    _out.flush()
    return sys.stdin.readline().strip() == "go"


def rounds() -> Iterator[int]:
    """Yield 0 for the warm-up, then 1, 2, ... for each round that is asked for."""
    number, word = 0, "ready"
    while await_go(word):
        yield number
        number, word = number + 1, "done"
