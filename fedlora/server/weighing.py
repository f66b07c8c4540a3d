"""What clients count in an average, as far as their word is believed."""

from collections.abc import Sequence
from statistics import median_low

# More is no honest shard.
MOST_EXAMPLES = 10**9

MOST_TIMES = 10.0
"""What a client counts at most, in medians of all: examples are its own word."""


def believed(examples: Sequence[float]) -> list[float]:
    """Weights by examples, none above ten times the (lower) median of all.

    Without a limit, one client that claims enough has the average to itself.
    """
    most = MOST_TIMES * median_low(examples)
    return [min(count, most) for count in examples]
