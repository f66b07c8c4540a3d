"""Exchanges over links that the kernel shapes, beside the seconds that their bytes should take."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from fedlora.adapter import LoraAdapter
from fedlora.adapter.parts import WHOLE
from fedlora.backbone import open_slot
from fedlora.bench.comm.cases import CODECS, FULL
from fedlora.bench.comm.exactness import draw
from fedlora.bench.comm.families import Family
from fedlora.bench.deploy.hosts import Host, hosts, missing
from fedlora.bench.deploy.slow_links import slow
from fedlora.config import CodecPart
from fedlora.errors import FedloraError
from fedlora.server.observer import Observer
from fedlora.wire.floor import GIGABIT, HOME, Link
from fedlora.wire.parcel import pack

Row = dict[str, Any]

LINKS = {"10 Mbit/s up, 1 Gbit/s down, 50 ms": HOME, "1 Gbit/s": GIGABIT}
LARGEST = 20_000_000
"""Bytes of a message that is still worth the wait."""

_PORT = 7008
_QUEUE = 100_000
"""Packets: more than are ever under way."""
_BURST = 0.004
"""Seconds of sending that a token bucket may let through at once."""
_PATIENCE = 300.0

_TAKE = """
import json, socket, sys, time
def take(link, count):
    while count:
        came = len(link.recv(min(count, 1 << 20)))
        count -= came or sys.exit("the other side is gone")
"""

_CLIENT = f"""{_TAKE}
address, exchanges = sys.argv[1], json.loads(sys.argv[2])
with socket.create_connection((address, {_PORT}), timeout={_PATIENCE}) as link:
    for down, up in exchanges:
        take(link, down)
        link.sendall(bytes(up))
"""

_SERVER = f"""{_TAKE}
exchanges = json.loads(sys.argv[1])
with socket.create_server(("0.0.0.0", {_PORT})) as door:
    print("open", flush=True)
    link, _ = door.accept()
    seconds = []
    with link:
        for down, up in exchanges:
            began = time.monotonic()
            link.sendall(bytes(down))
            take(link, up)
            seconds.append(time.monotonic() - began)
    print(json.dumps(seconds))
"""


def link_rows(families: Sequence[Family], observer: Observer) -> list[Row]:
    """One row a link and a message: what one client takes to get it and to send one like it.

    Counted alone where there can be no namespaces, or where the kernel cannot shape links.
    """
    sizes = dict(sizes_of(families))
    rows = []
    for name, link in LINKS.items():
        made, measured = _tried(link, list(sizes.values()), observer)
        for (what, (down, up)), seconds in zip(sizes.items(), measured, strict=True):
            rows.append(
                {
                    "table": "link",
                    "link": name,
                    "name": what,
                    "up": up,
                    "down": down,
                    "delay s": made.delay,
                    "counted s": made.seconds(up, down),
                    "measured s": seconds,
                }
            )
    return rows


def _tried(
    link: Link, sizes: Sequence[tuple[int, int]], observer: Observer
) -> tuple[Link, Sequence[float | None]]:
    """As `exchange`; no seconds where it cannot be done here."""
    reason = missing()
    if reason is None:
        try:
            return exchange(link, sizes)
        except FedloraError as error:
            reason = str(error)
    observer.note(f"no shaped links: {reason}")
    return link, [None] * len(sizes)


def sizes_of(families: Sequence[Family]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Bytes down and up of an adapter by each codec, and of the model.

    A difference is that of the adapter from another, near it, which both sides hold.
    """
    for family in families:
        config = family.run()
        slot = open_slot(config.backbone, config.lora, config.runtime.device)
        before, after = draw(slot.spec, 0), draw(slot.spec, 1)
        near = LoraAdapter.from_flat(slot.spec, after.flatten() + 0.1 * before.flatten())
        for name, sections in CODECS.items():
            ways = sections["codec"], sections.get("codec_up", sections["codec"])
            down, up = (len(pack(CodecPart(**way).build(), after, WHOLE, near)) for way in ways)
            yield f"{family.name}: {name}", (down, up)
        whole = 4 * slot.base.parameters
        if whole <= LARGEST:
            yield f"{family.name}: {FULL}", (whole, whole)


def exchange(link: Link, sizes: Sequence[tuple[int, int]]) -> tuple[Link, list[float]]:
    """The link as the kernel could make it, and at the server's clock the seconds of each exchange
    of (down, up) bytes over one connection.

    Raises:
        FedloraError: there can be no such link here, or a side did not end well.
    """
    with hosts(["server", "client"]) as (server, client), ExitStack() as opened:
        made = _shape(server, client, link, opened)
        told = json.dumps(sizes)
        asking = _run(server, _SERVER, told)
        try:
            assert asking.stdout is not None
            asking.stdout.readline()  # it listens
            answering = _run(client, _CLIENT, server.address, told)
            said, _ = asking.communicate(timeout=_PATIENCE)
            answering.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            raise FedloraError(f"an exchange of {max(sizes)} bytes took too long") from None
        finally:
            asking.kill()
    if asking.returncode != 0:
        raise FedloraError("the server's side of an exchange failed")
    seconds: list[float] = json.loads(said)
    return made, seconds


def _shape(server: Host, client: Host, link: Link, opened: ExitStack) -> Link:
    """Rate and delay of what each side sends.

    By tc; where the kernel has no netem, delays are made here, and without a device for that there
    is the rate alone.
    """
    pairs = {server: link.down, client: link.up}
    with suppress(FedloraError):
        for host, rate in pairs.items():
            delay = f"{1e3 * link.delay:g}ms"
            host.shape("netem", "limit", str(_QUEUE), "delay", delay, "rate", f"{rate:.0f}bit")
        return link
    if link.delay:
        with suppress(FedloraError):
            opened.enter_context(slow(pairs, link.delay, loss=0.0))
            return link
    for host, rate in pairs.items():
        burst = f"{_BURST * rate / 8:.0f}b"
        host.shape("tbf", "rate", f"{rate:.0f}bit", "burst", burst, "latency", "4s")
    return replace(link, delay=0.0)


def _run(host: Host, code: str, *words: str) -> subprocess.Popen[str]:
    command = [*host.prefix, sys.executable, "-c", code, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
