"""What is measured, case by case, each in a process of its own."""

from dataclasses import dataclass
from typing import Any, Literal

from fedlora.bench.generator import published, quality, ranks, speed, traffic
from fedlora.bench.generator.families import FAMILIES

Part = Literal["quality", "ranks", "published", "bytes", "speed"]


@dataclass(frozen=True)
class Case:
    """One bank of a part.

    what: a family for quality, a generator for speed.
    """

    part: Part
    what: str
    seed: int = 0

    @property
    def name(self) -> str:
        """Of the file that keeps what it came to."""
        return f"{self.part}-{self.what}-{self.seed}"


def live(case: Case) -> dict[str, Any]:
    """What a case came to."""
    if case.part == "quality":
        return quality.measure(next(f for f in FAMILIES if f.name == case.what), case.seed)
    if case.part == "ranks":
        return ranks.measure(case.seed)
    if case.part == "published":
        return published.measure(case.seed)
    if case.part == "bytes":
        return traffic.measure(case.seed)
    return speed.measure(case.what)
