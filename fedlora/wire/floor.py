"""The fewest bytes that could have said the same, and the seconds that bytes take on a link."""

from dataclasses import dataclass

from fedlora.adapter import AdapterSpec
from fedlora.adapter.parts import WHOLE, Parts, part_shapes
from fedlora.wire.codecs.contract import size_of


def exact_floor(spec: AdapterSpec, parts: Parts = WHOLE) -> int:
    """Bytes of parts of an adapter in float32, exactly.

    A matrix of rank r has r (d_in + d_out - r) degrees of freedom: both its factors hold r^2 more,
    which are the choice of a basis. One factor alone, beside another that both sides know, has no
    such choice.
    """
    values = size_of(part_shapes(spec, parts))
    if {"down", "up"} <= set(parts):
        values -= sum(layer.rank**2 for layer in spec.layers)
    return 4 * values


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
