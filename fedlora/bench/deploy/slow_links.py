"""Slow, far and lossy links where the kernel's tc has no netem: a thread here passes frames on."""

import fcntl
import heapq
import os
import select
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from random import Random

from fedlora.bench.deploy.hosts import Host
from fedlora.errors import FedloraError

_DEVICE = "/dev/net/tun"
_TUNSETIFF, _TAP, _BARE = 0x400454CA, 0x0002, 0x1000
_FRAME = 65_600
"""Bytes of the longest one."""
_QUEUE = 1000
"""Frames that wait at a link before more are dropped, as netem's do."""
_LOOK = 0.1


@dataclass
class _Link:
    """What a host sends goes in at `own` and, later, out at `far`; the way back is free.

    free: when the last frame that waits will have been sent. waiting: how many do.
    """

    own: int
    far: int
    rate: float
    free: float = 0.0
    waiting: int = 0


@contextmanager
def slow(rates: Mapping[Host, float], delay: float, loss: float, seed: int = 0) -> Iterator[None]:
    """What each of these hosts sends, at so many bits a second, is under way for `delay` seconds.

    loss: share of the frames that never arrive.

    Raises:
        FedloraError: there can be no such links here.
    """
    ended = threading.Event()
    with ExitStack() as opened:
        links = []
        for host, rate in rates.items():
            own, far = (opened.enter_context(_tap()) for _ in range(2))
            host.rewire(own.name, far.name)
            links.append(_Link(own.handle, far.handle, rate))
        passing = threading.Thread(
            target=_pass_on, args=(links, delay, loss, Random(seed), ended), daemon=True
        )
        passing.start()
        opened.callback(passing.join)
        opened.callback(ended.set)
        yield


@dataclass(frozen=True)
class _Tap:
    """A network device whose frames are read from and written to a file."""

    name: str
    handle: int


@contextmanager
def _tap() -> Iterator[_Tap]:
    """A new device; it goes with its file.

    Raises:
        FedloraError: the kernel gives none.
    """
    asked = struct.pack("16sH22x", b"fl%d", _TAP | _BARE)  # the kernel numbers them
    with ExitStack() as opened:
        try:
            handle = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK)
            opened.callback(os.close, handle)
            found = fcntl.ioctl(handle, _TUNSETIFF, asked)
        except OSError as error:
            raise FedloraError(f"{_DEVICE}: no devices here ({error.strerror})") from None
        yield _Tap(found[:16].rstrip(b"\0").decode(), handle)


def _pass_on(
    links: Sequence[_Link], delay: float, loss: float, chance: Random, ended: threading.Event
) -> None:
    """Hand frames over as they are due, until the end."""
    by_own, by_far = ({getattr(x, way): x for x in links} for way in ("own", "far"))
    due: list[tuple[float, int, _Link, bytes]] = []
    count = 0
    while not ended.is_set():
        wait = min(_LOOK, max(due[0][0] - time.monotonic(), 0.0)) if due else _LOOK
        ready, _, _ = select.select([*by_own, *by_far], [], [], wait)
        now = time.monotonic()
        for handle in ready:
            with suppress(OSError):  # a device that is down, or was just read empty
                frame = os.read(handle, _FRAME)
                if handle in by_far:
                    os.write(by_far[handle].own, frame)
                    continue
                link = by_own[handle]
                if chance.random() < loss or link.waiting >= _QUEUE:
                    continue
                link.free = max(now, link.free) + 8 * len(frame) / link.rate
                link.waiting += 1
                count += 1
                heapq.heappush(due, (link.free + delay, count, link, frame))
        while due and due[0][0] <= time.monotonic():
            _, _, link, frame = heapq.heappop(due)
            link.waiting -= 1
            with suppress(OSError):
                os.write(link.far, frame)
