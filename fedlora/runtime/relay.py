"""Bytes on the wire, counted where they pass: a TCP relay between a SuperNode and its SuperLink."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

_CHUNK = 1 << 16
_DOWN, _UP = 0, 1


@contextmanager
def relays(nodes: int, port: int, counters: Path) -> Iterator[list[int]]:
    """Yield a port of the loopback for each node; what passes there reaches `port` and is counted.

    Counted is the payload of TCP: HTTP/2 framing, polling and whatever is sent again by Flower,
    but neither TCP's own headers nor its retransmissions.

    Args:
        nodes: relays to open.
        port: the SuperLink's, on this machine.
        counters: a file that gets (nodes, 2) int64 totals, down and up, for a `Meter` to read.
    """
    np.zeros((nodes, 2), np.int64).tofile(counters)
    passed = np.memmap(counters, np.int64, "r+", shape=(nodes, 2))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="relays", daemon=True)
    thread.start()

    async def listen(row: np.ndarray) -> asyncio.Server:
        return await asyncio.start_server(
            lambda reader, writer: _connect(reader, writer, port, row), "127.0.0.1", 0
        )

    servers = [asyncio.run_coroutine_threadsafe(listen(row), loop).result() for row in passed]
    try:
        yield [server.sockets[0].getsockname()[1] for server in servers]
    finally:
        asyncio.run_coroutine_threadsafe(_close(servers), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        passed.flush()


class Meter:
    """What each node's relay has passed on since it was last asked.

    counters: the file that `relays` fills.
    """

    def __init__(self, counters: Path) -> None:
        self._totals = np.memmap(counters, np.int64, "r").reshape(-1, 2)
        self._taken = np.zeros_like(self._totals)

    def take(self, node: int) -> tuple[int, int]:
        """Bytes down to a node and up from it, each counted once over all calls."""
        now = np.array(self._totals[node])
        new = now - self._taken[node]
        self._taken[node] = now
        return int(new[_DOWN]), int(new[_UP])


def totals(counters: Path) -> list[dict[str, int]]:
    """All that each node's relay has passed on, `down` to the node and `up` from it."""
    counted = np.fromfile(counters, np.int64).reshape(-1, 2).tolist()
    return [{"down": row[_DOWN], "up": row[_UP]} for row in counted]


def divide(total: int, weights: Sequence[int]) -> list[int]:
    """Whole shares in proportion to weights, which add up to the total; equal for no weights."""
    sums = list(accumulate(w or 0 for w in (weights if any(weights) else [1] * len(weights))))
    ends = [total * reached // sums[-1] for reached in sums] if sums else []
    return [after - before for before, after in pairwise([0, *ends])]


async def _connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, row: np.ndarray
) -> None:
    """Pass one connection's bytes on in both directions until both have ended."""
    try:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    try:
        await asyncio.gather(
            _pump(reader, far_writer, row, _UP), _pump(far_reader, writer, row, _DOWN)
        )
    except (OSError, asyncio.CancelledError):
        pass  # one side is gone, or the relay ends: the other learns it from the close
    finally:
        writer.close()
        far_writer.close()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, row: np.ndarray, direction: int
) -> None:
    while data := await reader.read(_CHUNK):
        row[direction] += len(data)
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _close(servers: Sequence[asyncio.Server]) -> None:
    for server in servers:
        server.close()
    running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
