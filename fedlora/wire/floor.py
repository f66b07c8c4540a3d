"""The fewest bytes that could have said the same, and the seconds that bytes take on a link."""

from dataclasses import dataclass

from fedlora.adapter import AdapterSpec


def exact_floor(spec: AdapterSpec) -> int:
    """Bytes of an adapter's DeltaW and head in float32, exactly.

    A matrix of rank r has r (d_in + d_out - r) degrees of freedom: factors hold r^2 more, which
    are the choice of a basis.
    """
    values = sum(layer.rank * (layer.d_in + layer.d_out - layer.rank) for layer in spec.layers)
    return 4 * (values + spec.head_size)


@dataclass(frozen=True)
class Link:
    """A client's link of its own.

    up, down: bits a second.
    delay: seconds that a message is under way whatever its size, each way.
    """

    up: float
    down: float
    delay: float

    def seconds(self, up: float, down: float) -> float:
        """Wall time of one exchange of so many bytes, transmission alone."""
        return 2 * self.delay + 8 * up / self.up + 8 * down / self.down


HOME = Link(up=10e6, down=1e9, delay=0.05)
GIGABIT = Link(up=1e9, down=1e9, delay=0.0)
