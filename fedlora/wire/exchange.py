"""How the server asks and the clients answer, whatever carries the frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Request:
    """One encoded message for one client."""

    client: int
    frame: bytes


@dataclass(frozen=True)
class Reply:
    """One client's answer: a frame, or the reason why there is none."""

    client: int
    frame: bytes | None
    error: str = ""


class Transport(Protocol):
    """Carries frames between the server and its clients; a runtime provides one."""

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """Yield one reply for each request, in any order, as they arrive.

        A client that fails, is lost or is too late yields a reply without a frame.
        """
        ...
