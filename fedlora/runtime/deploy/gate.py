"""The server's open port: clients come through to Flower's Fleet API, and to nothing else.

A SuperLink answers clients, submitters and its own apps on one port, and whoever reaches the
Control API can have any code run on every machine. So it listens on the loopback, and this gate
stands on the network: it ends TLS, reads each request's head, and passes on what a SuperNode asks.
"""

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

ALLOWED = "/v1/fleet/"
"""What SuperNodes ask for; they do not register themselves, `fedlora deploy invite` does."""

_REFUSED = ("register-node", "unregister-node")
_MOST_HEAD = 32 << 10
_MOST_BODY = 64 << 20
"""Of one request; Flower cuts arrays into chunks of 5 MiB."""
_HEAD_SECONDS, _IDLE_SECONDS = 20.0, 120.0
_MOST_CONNECTIONS = 512
_CHUNK = 1 << 16
_NOT_LET_IN = "a key that was not invited, or whose last connection still counts, for a minute"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Doors:
    """Where the gate listens, and where the SuperLink is.

    bind, port: of the network.
    certificate: serves clients.
    upstream: the SuperLink's port on this machine's loopback.
    trust: knows the SuperLink's certificate.
    """

    bind: str
    port: int
    certificate: ssl.SSLContext
    upstream: int
    trust: ssl.SSLContext


class RefusalError(Exception):
    """A request that no SuperNode makes."""


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
        self._open = 0

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
        self._open += 1
        try:
            if self._open > _MOST_CONNECTIONS:
                raise RefusalError(f"more than {_MOST_CONNECTIONS} connections")
            async with asyncio.timeout(_HEAD_SECONDS):
                await writer.start_tls(self._doors.certificate)
            await self._serve(reader, writer, who)
        except ssl.SSLError as error:
            self._say(f"refused {who}: no TLS that this server speaks ({_reason(error)})")
        except RefusalError as refusal:
            self._say(f"refused {who}: {refusal}")
            with suppress(OSError, RuntimeError):
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, TimeoutError):
            pass  # gone, or too slow: the other side learns it from the close
        finally:
            self._open -= 1
            writer.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str
    ) -> None:
        """Pass requests on one by one; answers go back as they come."""
        near = await asyncio.open_connection(
            "127.0.0.1", self._doors.upstream, ssl=self._doors.trust
        )
        asked: list[str] = []
        back = asyncio.create_task(self._answer(near[0], writer, asked, who))
        try:
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    head = await _head(reader)
                if not head:
                    return
                path, length = _parse(head)
                asked[:] = [path]
                near[1].write(head)
                while length:
                    async with asyncio.timeout(_IDLE_SECONDS):
                        data = await reader.readexactly(min(length, _CHUNK))
                    near[1].write(data)
                    await near[1].drain()
                    length -= len(data)
                await near[1].drain()
        finally:
            near[1].close()
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: list[str],
        who: str,
    ) -> None:
        """Bytes back to the client; the SuperLink's own refusals are said once a request."""
        while data := await reader.read(_CHUNK):
            if asked and data[9:10] == b"4":
                self._say(f"refused {who} at {asked[0]}: {_status(asked[0], data)}")
            asked.clear()
            writer.write(data)
            await writer.drain()
        writer.close()


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


def _parse(head: bytes) -> tuple[str, int]:
    """The path and the length of the body of a request that a SuperNode may make.

    Raises:
        RefusalError: it is something else, or its end could be read in two ways.
    """
    if len(head) > _MOST_HEAD:
        raise RefusalError(f"a request's head of more than {_MOST_HEAD} bytes")
    request, *lines = head.decode("latin-1").split("\r\n")[:-2]
    words = request.split(" ")
    if len(words) != 3 or words[0] != "POST" or words[2] != "HTTP/1.1":
        raise RefusalError("not a request of Flower's")
    path = words[1]
    action = path.removeprefix(ALLOWED)
    plain = action.replace("-", "").isalpha() and action.isascii()
    if not path.startswith(ALLOWED) or not plain or action in _REFUSED:
        raise RefusalError(f"'{path[:80]!a}' is not open to clients")
    lengths = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise RefusalError("a malformed header")
        if name.lower() in ("transfer-encoding", "upgrade", "expect"):
            raise RefusalError(f"the header '{name[:40]}'")
        if name.lower() == "content-length":
            lengths.append(value.strip())
    if len(lengths) != 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
        raise RefusalError("a request without one length")
    if int(lengths[0]) > _MOST_BODY:
        raise RefusalError(f"a request of {lengths[0][:20]} bytes")
    return path, int(lengths[0])


def _status(path: str, data: bytes) -> str:
    """The status line of an answer, without what follows, and what it means."""
    told = data[9:100].split(b"\r\n")[0].decode("latin-1")
    return f"{told} ({_NOT_LET_IN})" if path == f"{ALLOWED}activate-node" else told


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "handshake failed").lower().replace("_", " ")
