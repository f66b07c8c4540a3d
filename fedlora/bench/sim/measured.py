"""What one side of a workload took."""

import statistics
from dataclasses import dataclass, field

from fedlora.bench.sim.process import Cost

TOLERANCE = 1e-3
"""Largest accepted ||reply - reference|| / ||reference - start|| of any client: float32 rounding,
which Adam enlarges where a gradient is nearly zero."""


@dataclass
class Measured:
    """What a side took.

    clients: in a timed round.
    rounds: the timed ones.
    first: from the start of the process to the first client's reply; fedlora's own sides only.
    ready: from the start of the process to the first round that was asked for.
    peak: resident bytes.
    warm: clients and cost of the rounds before the timed ones.
    difference: the largest of any client to the reference, relative to what it learned.
    tolerance: the largest difference that is accepted.
    compared: clients whose numbers the reference has as well.
    beyond: those of them that differ by more than the tolerance.
    adapter: bytes of a client's adapter.
    """

    clients: int
    threads: int
    rounds: list[Cost] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    peak: int = 0
    difference: float = 0.0

    tolerance: float = TOLERANCE
    warm: list[tuple[int, Cost]] = field(default_factory=list)
    compared: int = 0
    beyond: int = 0
    adapter: int = 0

    @property
    def seconds(self) -> float:
        """Median of a round."""
        return statistics.median(cost.seconds for cost in self.rounds)

    @property
    def cpu(self) -> float:
        """Median processor seconds of a round."""
        return statistics.median(cost.cpu for cost in self.rounds)

    @property
    def rate(self) -> float:
        """Clients a second; none for a side whose numbers are not the reference's."""
        return self.clients / self.seconds if self.same else 0.0

    @property
    def cpu_rate(self) -> float:
        """Clients a second of processor time; none for a side with other numbers."""
        return self.clients / self.cpu if self.same and self.cpu else 0.0

    @property
    def whole_cpu_rate(self) -> float:
        """Clients a second of processor time over all rounds, those before the timed ones too."""
        took = sum(cost.cpu for cost in self._all)
        return self._trained / took if took else 0.0

    @property
    def whole_rate(self) -> float:
        """Clients a second over all rounds, those before the timed ones too."""
        took = sum(cost.seconds for cost in self._all)
        return self._trained / took if took else 0.0

    @property
    def _all(self) -> list[Cost]:
        return [*(cost for _, cost in self.warm), *self.rounds]

    @property
    def _trained(self) -> int:
        return sum(clients for clients, _ in self.warm) + self.clients * len(self.rounds)

    @property
    def first_cpu_rate(self) -> float:
        """Clients a second of processor time in the first timed round."""
        return self.clients / self.rounds[0].cpu if self.rounds[0].cpu else 0.0

    @property
    def same(self) -> bool:
        """Whether its numbers are the reference's, to rounding."""
        return self.difference <= self.tolerance

    def add(self, other: "Measured") -> None:
        """Join what a later turn of the same side took."""
        self.rounds += other.rounds
        self.first += other.first
        self.ready += other.ready
        self.warm += other.warm
        self.peak = max(self.peak, other.peak)
