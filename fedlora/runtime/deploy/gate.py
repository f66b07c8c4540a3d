"""The server's open port: clients come through to Flower's Fleet API, and to nothing else.

A SuperLink answers clients, submitters and its own apps on one port, and whoever reaches the
Control API can have any code run on every machine. So it listens on the loopback, and this gate
stands on the network: it ends TLS, reads each request's head, and passes on what
an invited SuperNode asks.
"""

import asyncio
import logging
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum

from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER

ALLOWED = "/v1/fleet/"
"""What SuperNodes ask for; they do not register themselves, `fedlora deploy invite` does."""

CLOCK = b"GET /clock HTTP/1.1\r\n"
"""What `fedlora deploy doctor` asks: anybody is told the time, and how a key of theirs stands."""

STANDING = "Fedlora-Key"
"""The header that tells how a key stands."""


class Standing(StrEnum):
    """How a public key stands with a server."""

    INVITED = "invited"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


_REFUSED = ("register-node", "unregister-node")
_MOST_HEAD = 32 << 10
_MOST_BODY = 64 << 20
"""Of one request; Flower cuts arrays into chunks of 5 MiB."""
_HEAD_SECONDS, _IDLE_SECONDS = 20.0, 120.0
_MOST_CONNECTIONS, _MOST_OF_ONE = 512, 256
"""All, and of one address."""
_QUIET, _MOST_LINES = 10.0, 50
"""Seconds in which the same line is said once, and how many different ones are said."""
_CHUNK = 1 << 16
_REFUSALS = {
    b"401": "a signature that does not fit its key, or a clock that is minutes off",
    b"412": "its last connection still counts, for a minute",
}
"""By the status of Flower's answer, what it says of who asked."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Doors:
    """Where the gate listens, and where the SuperLink is.

    bind, port: of the network.
    certificate: serves clients.
    upstream: the SuperLink's port on this machine's loopback.
    trust: knows the SuperLink's certificate.
    standing: of a public key, in base64 as the header has it.
    """

    bind: str
    port: int
    certificate: ssl.SSLContext
    upstream: int
    trust: ssl.SSLContext
    standing: Callable[[str], Standing]


class RefusalError(Exception):
    """A request that no SuperNode makes, or none that was invited; and how it is answered."""

    def __init__(self, reason: str, status: bytes = b"403 Forbidden") -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Head:
    """length: of its body. key: the public key in its header, in base64; empty for none."""

    path: str
    length: int
    key: str


@contextmanager
def gate(doors: Doors, say: Say) -> Iterator[None]:
    """Keep the port open while the block runs.

    Raises:
        OSError: the port is taken.
    """
    loop = asyncio.new_event_loop()
    # A stranger's failed handshake is said in our words, once.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    thread = threading.Thread(target=loop.run_forever, name="gate", daemon=True)
    thread.start()
    keeper = _Keeper(doors, say)
    try:
        server = asyncio.run_coroutine_threadsafe(keeper.open(), loop).result()
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(keeper.close(server), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Keeper:
    def __init__(self, doors: Doors, say: Say) -> None:
        self._doors = doors
        self._say = say
        self._open: Counter[str] = Counter()
        self._said: dict[str, float] = {}

    async def open(self) -> asyncio.Server:
        return await asyncio.start_server(self._meet, self._doors.bind, self._doors.port)

    async def close(self, server: asyncio.Server) -> None:
        server.close()
        running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its handshake to its end."""
        who = writer.get_extra_info("peername")[0]
        self._open[who] += 1
        try:
            if self._open.total() > _MOST_CONNECTIONS or self._open[who] > _MOST_OF_ONE:
                raise RefusalError("too many connections")
            async with asyncio.timeout(_HEAD_SECONDS):
                await writer.start_tls(self._doors.certificate)
                head = await _head(reader)
            if head.startswith(CLOCK):
                _, keys = _headers(_lines(head)[1:])
                told = self._doors.standing(keys[0]) if len(keys) == 1 else Standing.UNKNOWN
                line = f"{STANDING}: {told}\r\n".encode()
                writer.write(b"HTTP/1.1 204 No Content\r\nDate: %s\r\n%s\r\n" % (_date(), line))
                await writer.drain()
            elif head:
                await self._serve(reader, writer, who, head)
        except ssl.SSLError as error:
            self._tell(f"refused {who}: no TLS that this server speaks ({_reason(error)})")
        except RefusalError as refusal:
            self._tell(f"refused {who}: {refusal}")
            with suppress(OSError, RuntimeError):
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % refusal.status)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, TimeoutError):
            pass  # gone, or too slow: the other side learns it from the close
        finally:
            self._open[who] -= 1
            self._open += Counter()  # forgets who has none
            writer.close()

    def _tell(self, line: str) -> None:
        """Say a line, once in a while where it is the same."""
        now = time.monotonic()
        self._said = {text: since for text, since in self._said.items() if now - since < _QUIET}
        if line not in self._said and len(self._said) < _MOST_LINES:
            self._said[line] = now
            self._say(line)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str, head: bytes
    ) -> None:
        """Pass requests on one by one, from the first head on; answers go back as they come."""
        request = self._admit(head)
        asked = [request.path]
        near = await asyncio.open_connection(
            "127.0.0.1", self._doors.upstream, ssl=self._doors.trust
        )
        back = asyncio.create_task(self._answer(near[0], writer, asked, who))
        try:
            while True:
                near[1].write(head)
                left = request.length
                while left:
                    async with asyncio.timeout(_IDLE_SECONDS):
                        data = await reader.readexactly(min(left, _CHUNK))
                    near[1].write(data)
                    await near[1].drain()
                    left -= len(data)
                await near[1].drain()
                async with asyncio.timeout(_IDLE_SECONDS):
                    head = await _head(reader)
                if not head:
                    return
                request = self._admit(head)
                asked[:] = [request.path]
        finally:
            near[1].close()
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)

    def _admit(self, head: bytes) -> Head:
        """A request that a SuperNode may make, with a key that was invited.

        Whether whoever sends it holds the key, the SuperLink finds out.

        Raises:
            RefusalError: it is another.
        """
        request = parse_head(head)
        standing = self._doors.standing(request.key)
        if standing == Standing.INVITED:
            return request
        revoked = standing == Standing.REVOKED
        status = b"401 Unauthorized"  # ends a SuperNode at work
        if request.path == f"{ALLOWED}activate-node":
            status = b"410 Gone" if revoked else b"412 Precondition Failed"
        reason = "a key that was taken back" if revoked else "a key that was not invited"
        raise RefusalError(reason, status)

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: list[str],
        who: str,
    ) -> None:
        """Bytes back to the client; the SuperLink's refusals of a key are said once a request."""
        while data := await reader.read(_CHUNK):
            refusal = _REFUSALS.get(data[9:12]) if asked else None
            if refusal is not None:
                self._tell(f"refused {who} at {asked[0]}: {refusal}")
            asked.clear()
            writer.write(data)
            await writer.drain()
        writer.close()


def _date() -> bytes:
    return formatdate(usegmt=True).encode("ascii")


async def _head(reader: asyncio.StreamReader) -> bytes:
    """A request up to its blank line; nothing when the client is done."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""
    except asyncio.LimitOverrunError:
        raise RefusalError(f"a request's head of more than {_MOST_HEAD} bytes") from None


def parse_head(head: bytes) -> Head:
    """A request that a SuperNode may make.

    Raises:
        RefusalError: it is something else, or its end could be read in two ways.
    """
    if len(head) > _MOST_HEAD:
        raise RefusalError(f"a request's head of more than {_MOST_HEAD} bytes")
    request, *lines = _lines(head)
    words = request.split(" ")
    if len(words) != 3 or words[0] != "POST" or words[2] != "HTTP/1.1":
        raise RefusalError("not a request of Flower's")
    action = words[1].removeprefix(ALLOWED)
    plain = re.fullmatch(r"[A-Za-z-]+", action)
    if not words[1].startswith(ALLOWED) or not plain or action in _REFUSED:
        raise RefusalError(f"'{words[1][:80]!a}' is not open to clients")
    lengths, keys = _headers(lines)
    if len(lengths) != 1 or not re.fullmatch(r"[0-9]{1,12}", lengths[0]):
        raise RefusalError("a request without one length")
    if int(lengths[0]) > _MOST_BODY:
        raise RefusalError(f"a request of {lengths[0]} bytes")
    return Head(words[1], int(lengths[0]), keys[0] if len(keys) == 1 else "")


def _lines(head: bytes) -> list[str]:
    """The lines of a head.

    Raises:
        RefusalError: one of them could be read as two.
    """
    lines = head.decode("latin-1").split("\r\n")[:-2]
    # A lone CR or LF ends a line for some readers: what follows would be another request.
    if any(not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", line) for line in lines):
        raise RefusalError("a control character in a request's head")
    return lines


def _headers(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """The lengths and the public keys that a head tells.

    Raises:
        RefusalError: a header is malformed, or not one of a SuperNode's.
    """
    found: dict[str, list[str]] = {"content-length": [], FLEET_HTTP_PUBLIC_KEY_HEADER: []}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise RefusalError("a malformed header")
        if name.lower() in ("transfer-encoding", "upgrade", "expect"):
            raise RefusalError(f"the header '{name[:40]}'")
        found.get(name.lower(), []).append(value.strip())
    lengths, keys = found.values()
    return lengths, keys


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "handshake failed").lower().replace("_", " ")
