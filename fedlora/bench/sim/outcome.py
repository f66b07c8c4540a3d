"""What a group of workloads came to."""

from dataclasses import dataclass, field

from fedlora.bench.sim.measured import Measured


@dataclass
class Outcome:
    """What was measured.

    seconds: that it took.
    found: workload's name -> side -> what it took.
    failures: why something was not measured, by "workload: side", or "workload" for all of it.
    survived: whether a run that lost a machine ended with the same numbers, by how it trains.
    """

    seconds: float = 0.0
    found: dict[str, dict[str, Measured]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    survived: dict[str, bool] = field(default_factory=dict)

    def add(self, other: "Outcome") -> None:
        """Join what another group came to."""
        self.seconds += other.seconds
        self.found |= other.found
        self.failures |= other.failures
        self.survived |= other.survived
