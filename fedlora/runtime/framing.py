"""What Flower's protocol adds on the wire to the frames that it carries, as far as it may."""

from dataclasses import dataclass

from fedlora.wire.ledger import Direction


@dataclass(frozen=True)
class Allowance:
    """Bytes of one direction.

    start: for a node to be known, and to fetch a run and its app.
    pack: around the frames of one pack or its answer: the run's configuration, object ids, calls
        and their headers.
    second: that a node is connected; it polls every three.
    """

    start: int
    pack: int
    second: int


ALLOWED: dict[Direction, Allowance] = {
    "down": Allowance(start=16_000, pack=8_000, second=20),
    "up": Allowance(start=48_000, pack=16_000, second=100),
}
SHARE = 0.001
"""Of the frames themselves: HTTP/2's headers, nine bytes for every 16 KiB, and chunks of 5 MiB."""


@dataclass(frozen=True)
class Framing:
    """One run over the wire.

    nodes: SuperNodes. packs: sent to any of them. seconds: that they were connected.
    """

    nodes: int
    packs: int
    seconds: float

    def most(self, way: Direction, frames: int) -> int:
        """Bytes that may pass in one direction beside so many bytes of frames."""
        allowed = ALLOWED[way]
        by_node = allowed.start + allowed.second * self.seconds
        return int(self.nodes * by_node + self.packs * allowed.pack + SHARE * frames)
