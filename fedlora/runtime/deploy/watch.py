"""Processes kept alive: what ends is started again, unless it says that it never could work."""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedlora.errors import FedloraError
from fedlora.runtime.deploy.verdicts import Judge
from fedlora.runtime.processes import stop

_LOOK = 0.2
_FIRST, _LONGEST = 0.5, 30.0
"""Seconds before a process is started again: doubled each time that it does not last."""
_LASTED = 60.0
_REFUSED_FOR = 150.0
"""Seconds after which what may pass is for good; Flower counts a lost connection for sixty."""

Say = Callable[[str], None]


def _silent() -> None:
    """Nothing is known of why it ended."""
    return


@dataclass
class Service:
    """One process that should always run.

    start: begins it.
    judge: asked when it has ended.
    takes_along: a service that cannot go on when this one has ended, and is started again as well.
    refused: when it was first told what may pass, and has not lasted since.
    """

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    judge: Judge = _silent
    takes_along: "Service | None" = None
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    delay: float = _FIRST / 2
    since: float = 0.0
    again: float = 0.0
    refused: float | None = None

    def begin(self) -> None:
        """Start the process."""
        self.process, self.since = self.start(), time.monotonic()
        self.starts += 1


def watch(services: Sequence[Service], done: Callable[[], bool], say: Say) -> None:
    """Start services and keep them running until `done`; they are stopped in any case.

    Raises:
        FedloraError: a service ended, and its verdict is final, or has stood for long.
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
        other = service.takes_along.process if service.takes_along else None
        stop([each for each in (process, other) if each])  # and what they left behind
        service.process = None
        lasted = now - service.since > _LASTED
        found = service.judge()
        if found is None or lasted:
            service.refused = None
        elif service.refused is None:
            service.refused = service.since
        refused_long = service.refused is not None and now - service.refused > _REFUSED_FOR
        if found is not None and (found.final or refused_long):
            raise FedloraError(found.reason)
        service.delay = _FIRST if lasted else min(2 * service.delay, _LONGEST)
        service.again = now + service.delay
        ended = f"{service.name} ended with status {process.returncode}"
        why = ended if found is None else found.reason
        say(f"{why}; it is started again in {service.delay:g} s")
