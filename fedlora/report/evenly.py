"""Some of many, where all would not fit on a page."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def evenly(found: Sequence[T], most: int) -> list[T]:
    """At most `most` of them, the first and the last among these."""
    if len(found) <= most:
        return list(found)
    return [found[round(i * (len(found) - 1) / (most - 1))] for i in range(most)]
