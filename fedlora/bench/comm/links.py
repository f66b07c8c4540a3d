"""Exchanges over links that the kernel shapes, beside the seconds that their bytes should take."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from fedlora.adapter.parts import WHOLE
from fedlora.backbone import open_slot
from fedlora.bench.comm.cases import CODECS, FULL
from fedlora.bench.comm.exactness import draw_near
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
_BURST = 1600
"""Bytes that a token bucket lets through at once: a packet; a larger one would shape nothing."""
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

    Counted alone where there can be no namespaces; none of a link that the kernel cannot make.
    """
    sizes = dict(sizes_of(families))
    rows = []
    for name, link in LINKS.items():
        measured = _tried(link, list(sizes.values()), observer)
        if measured is None:
            continue
        for (what, (down, up)), seconds in zip(sizes.items(), measured, strict=True):
            rows.append(
                {
                    "table": "link",
                    "link": name,
                    "name": what,
                    "up": up,
                    "down": down,
                    "delay s": link.delay,
                    "counted s": link.seconds(up, down),
                    "measured s": seconds,
                }
            )
    return rows


def _tried(
    link: Link, sizes: Sequence[tuple[int, int]], observer: Observer
) -> Sequence[float | None] | None:
    """As `exchange`; no seconds where there are no namespaces, None where there is no link."""
    if reason := missing():
        observer.note(f"no shaped links: {reason}")
        return [None] * len(sizes)
    try:
        return exchange(link, sizes)
    except FedloraError as error:
        observer.note(f"no link of {link.up:.0f} bits up, {link.delay:g} s: {error}")
        return None


def sizes_of(families: Sequence[Family]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Bytes down and up of an adapter by each codec, and of the model.

    A difference is that of the adapter from another, near it, which both sides hold.
    """
    for family in families:
        config = family.run()
        slot = open_slot(config.backbone, config.lora, config.runtime.device)
        after, near = draw_near(slot.spec)
        for name, sections in CODECS.items():
            ways = sections["codec"], sections.get("codec_up", sections["codec"])
            down, up = (len(pack(CodecPart(**way).build(), after, WHOLE, near)) for way in ways)
            yield f"{family.name}: {name}", (down, up)
        whole = 4 * slot.base.parameters
        if whole <= LARGEST:
            yield f"{family.name}: {FULL}", (whole, whole)


def exchange(link: Link, sizes: Sequence[tuple[int, int]]) -> list[float]:
    """At the server's clock, the seconds of each exchange of (down, up) bytes over one connection.

    Raises:
        FedloraError: there can be no such link here, or a side did not end well.
    """
    with hosts(["server", "client"]) as (server, client), ExitStack() as opened:
        _shape(server, client, link, opened)
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
    return seconds


def _shape(server: Host, client: Host, link: Link, opened: ExitStack) -> None:
    """Rate and delay of what each side sends.

    By tc; where the kernel has no netem, delays are made here.

    Raises:
        FedloraError: there is no device for that, or no token bucket for a link without delay.
    """
    pairs = {server: link.down, client: link.up}
    with suppress(FedloraError):
        for host, rate in pairs.items():
            delay = f"{1e3 * link.delay:g}ms"
            host.shape("netem", "limit", str(_QUEUE), "delay", delay, "rate", f"{rate:.0f}bit")
        return
    if link.delay:
        opened.enter_context(slow(pairs, link.delay, loss=0.0))
        return
    for host, rate in pairs.items():
        host.shape("tbf", "rate", f"{rate:.0f}bit", "burst", f"{_BURST}b", "latency", "4s")


def _run(host: Host, code: str, *words: str) -> subprocess.Popen[str]:
    command = [*host.prefix, sys.executable, "-c", code, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
