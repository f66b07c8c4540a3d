"""`fedlora deploy adopt`: a machine that joins for as long as it takes to leave with an adapter."""

import time
from collections.abc import Callable

from fedlora.errors import FedloraError
from fedlora.runtime.answering import NOT_ANSWERED
from fedlora.runtime.deploy.client import Party, run_client
from fedlora.runtime.deploy.place import Place
from fedlora.runtime.deploy.watch import Say

_LINGER = 3.0
"""Seconds to stay after the adapter or a refusal, so that the last word reaches the server."""


def adopt(
    place: Place, party: Party, patience: float, say: Say, stopped: Callable[[], bool]
) -> float:
    """Join, and leave once the wished-for folder is there.

    Args:
        place: of a client that was invited.
        party: with a wish.
        patience: seconds to wait for the adapter.
        say: is told what happens.
        stopped: asked several times a second.

    Returns:
        Seconds from the start until the adapter was there and tried.

    Raises:
        FedloraError: nobody served it in time, the server refuses it, or it cannot do what the
            server asks of it.
    """
    wish = party.wish
    if wish is None:
        raise FedloraError("adopt: a newcomer comes with a wish for an adapter")
    began, reached, failed = time.monotonic(), list[float](), list[str]()
    until = began + patience

    def heard(line: str) -> None:
        nonlocal until
        say(line)
        if line.startswith(NOT_ANSWERED):  # a newcomer is greeted once
            failed.append(line.removeprefix(NOT_ANSWERED))
            until = time.monotonic() + _LINGER

    def done() -> bool:
        nonlocal until
        if wish.fulfilled() and not reached:
            reached.append(time.monotonic())
            say(f"the adapter is in {wish.out}")
            until = reached[0] + _LINGER
        return time.monotonic() > until or stopped()

    run_client(place, party, heard, done)
    if failed and not reached:
        raise FedloraError(failed[0])
    if not reached:
        raise FedloraError(
            f"no adapter within {patience:g} s (--patience): is `fedlora deploy serve` running"
            f" there? {place.state / 'host.log'} and worker.log say what happened here"
        )
    return reached[0] - began
