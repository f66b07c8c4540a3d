"""Processes kept alive: what ends is started again, unless it says that it never could work."""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedlora.errors import FedloraError
from fedlora.runtime.processes import stop

_LOOK = 0.2
_FIRST, _LONGEST = 0.5, 30.0
"""Seconds before a process is started again: doubled each time that it does not last."""
_LASTED = 60.0

Say = Callable[[str], None]


def _never() -> str | None:
    """Nothing that ends it is for good."""
    return None


@dataclass
class Service:
    """One process that should always run.

    start: begins it.
    verdict: asked when it has ended: why it can never work; None when it is worth another try.
    """

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    verdict: Callable[[], str | None] = _never
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    delay: float = _FIRST / 2
    since: float = 0.0
    again: float = 0.0

    def begin(self) -> None:
        """Start the process."""
        self.process, self.since = self.start(), time.monotonic()
        self.starts += 1


def watch(services: Sequence[Service], done: Callable[[], bool], say: Say) -> None:
    """Start services and keep them running until `done`; they are stopped in any case.

    Raises:
        FedloraError: the verdict on a service that ended.
    """
    try:
        for service in services:
            service.begin()
        while not done():
            for service in services:
                _look_after(service, say)
            time.sleep(_LOOK)
    finally:
        stop([service.process for service in reversed(services) if service.process])


def _look_after(service: Service, say: Say) -> None:
    """Start a service whose time has come; note the end of one that ran."""
    process, now = service.process, time.monotonic()
    if process is None:
        if now >= service.again:
            service.begin()
    elif process.poll() is not None:
        stop([process])  # and what it left behind
        service.process = None
        reason = service.verdict()
        if reason is not None:
            raise FedloraError(reason)
        lasted = now - service.since > _LASTED
        service.delay = _FIRST if lasted else min(2 * service.delay, _LONGEST)
        service.again = now + service.delay
        say(
            f"{service.name} ended with status {process.returncode};"
            f" it is started again in {service.delay:g} s"
        )
