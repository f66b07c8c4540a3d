"""The fewest bytes that could have said the same, to hold the counted ones against."""

from fedlora.adapter import AdapterSpec

LINK_UP, LINK_DOWN = 10e6, 1e9
"""Bits a second of the simulated links."""

DELAY = 0.05
"""Seconds that a message is under way whatever its size."""


def exact_floor(spec: AdapterSpec) -> int:
    """Bytes of an adapter's DeltaW and head in float32, exactly.

    A matrix of rank r has r (d_in + d_out - r) degrees of freedom: factors hold r^2 more, which
    are the choice of a basis.
    """
    values = sum(layer.rank * (layer.d_in + layer.d_out - layer.rank) for layer in spec.layers)
    return 4 * (values + spec.head_size)


def seconds_on_link(up: int, down: int) -> float:
    """Wall time of one exchange of a client whose link is asymmetric, transmission alone."""
    return 2 * DELAY + 8 * up / LINK_UP + 8 * down / LINK_DOWN
