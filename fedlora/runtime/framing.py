"""What Flower's protocol adds on the wire to the frames that it carries, as far as it may."""

from dataclasses import dataclass

START = 64_000
"""Bytes, in either direction, for a node to be known and to fetch a run and its app."""
PACK = 16_000
"""Bytes, in either direction, around the frames of one pack and its answer: the run's
configuration, object ids, calls and their headers."""
SECOND = 256
"""Bytes, in either direction, that a node says each second while it waits: it polls every 3 s."""
SHARE = 0.005
"""Of the frames themselves: HTTP/2's headers, nine bytes for every 16 KiB, and chunks of 5 MiB."""


@dataclass(frozen=True)
class Framing:
    """One run over the wire.

    nodes: SuperNodes. packs: sent to any of them. seconds: that they were connected.
    """

    nodes: int
    packs: int
    seconds: float

    def most(self, frames: int) -> int:
        """Bytes that may pass in one direction beside so many bytes of frames."""
        fixed = self.nodes * (START + SECOND * self.seconds) + self.packs * PACK
        return int(fixed + SHARE * frames)
