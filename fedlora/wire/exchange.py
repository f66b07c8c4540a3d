"""How the server asks and the clients answer, whatever carries the frames."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fedlora.errors import FedloraError

Handle = Callable[[int, bytes], bytes]
"""(client, frame) -> frame; raises on failure."""

Answer = Callable[[Sequence["Request"]], list["Reply"]]
"""What many clients answer, one reply for each request, in their order; never raises."""


@dataclass(frozen=True)
class Request:
    """One encoded message for one client.

    work: how much it asks for beside other requests, as far as that can be foretold.
    """

    client: int
    frame: bytes
    work: float = 1.0


@dataclass(frozen=True)
class Reply:
    """One client's answer: a frame, or the reason why there is none.

    tries: how often its request was sent; 0 for one that never was.
    socket: bytes down and up that its exchange took on the wire; None where none is counted.
    absent: nobody answered, since its node was lost or never there; maybe it comes back.
    """

    client: int
    frame: bytes | None
    error: str = ""
    tries: int = 1
    socket: tuple[int, int] | None = None
    absent: bool = False


class Transport(Protocol):
    """Carries frames between the server and its clients; a runtime provides one."""

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """Yield one reply for each request, in any order, as they arrive.

        A client that fails, is lost or is too late yields a reply without a frame.
        """
        ...


def answer(handle: Handle, request: Request) -> Reply:
    """What a client answers; whatever it raises costs its own answer only."""
    try:
        return Reply(request.client, handle(request.client, request.frame))
    except Exception as error:  # noqa: BLE001 - a fault in one client's data or code
        return lost(request, error)


def lost(request: Request, error: Exception) -> Reply:
    """The reply of a client that failed."""
    if isinstance(error, FedloraError):
        return Reply(request.client, None, str(error))
    reason = " ".join(str(error).split())[:500]
    return Reply(request.client, None, f"{type(error).__name__}: {reason}")


def one_by_one(handle: Handle) -> Answer:
    """Answer requests one after another."""
    return lambda requests: [answer(handle, request) for request in requests]
