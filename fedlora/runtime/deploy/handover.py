"""Packs handed from the ClientApp to a worker on the same machine, over a Unix socket.

Both sides prove that they know a secret (HMAC, both ways) before anything else is read; what is
read then is JSON and frames, never pickle. Imports neither torch nor the client.
"""

import json
from dataclasses import asdict
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from fedlora.runtime.pack import Origin, RequestPack
from fedlora.wire.exchange import Reply, Request

SOCKET, SECRET = "worker.sock", "worker.secret"
"""In a folder that its owner alone may enter."""

FOLDER = "FEDLORA_WORKER"
"""The environment variable that names the folder."""

_MOST_HEADER, _MOST_FRAMES = 64 << 20, 8 << 30


class NoWorkerError(Exception):
    """Nobody answers at the socket, or it ended before it had answered."""


def ask_worker(folder: Path, asked: RequestPack) -> list[Reply]:
    """Have a worker answer a pack.

    Raises:
        NoWorkerError: nobody answers, nobody with the secret, or not to the end.
    """
    try:
        secret = (folder / SECRET).read_bytes()
        with Client(str(folder / SOCKET), "AF_UNIX", authkey=secret) as connection:
            send_pack(connection, asked)
            return receive_replies(connection, asked)
    except (OSError, EOFError, AuthenticationError) as error:
        raise NoWorkerError(f"{type(error).__name__}: {error}") from None


def send_pack(connection: "Connection[bytes, bytes]", asked: RequestPack) -> None:
    """The ClientApp's side: what is asked."""
    frames = [request.frame for request in asked.requests]
    about = {
        "config": asked.config,
        "seed": asked.seed,
        "origin": asdict(asked.origin),
        "clients": [request.client for request in asked.requests],
    }
    _send(connection, about, frames)


def receive_pack(connection: "Connection[bytes, bytes]") -> RequestPack:
    """The worker's side: what is asked.

    Raises:
        ValueError, KeyError or TypeError: it is no pack.
    """
    about, frames = _receive(connection)
    requests = tuple(Request(*pair) for pair in zip(about["clients"], frames, strict=True))
    return RequestPack(about["config"], about["seed"], requests, Origin(**about["origin"]))


def send_replies(connection: "Connection[bytes, bytes]", replies: list[Reply]) -> None:
    """The worker's side: one reply for each request."""
    errors = [reply.error for reply in replies]
    _send(connection, {"errors": errors}, [reply.frame or b"" for reply in replies])


def receive_replies(connection: "Connection[bytes, bytes]", asked: RequestPack) -> list[Reply]:
    """The ClientApp's side: one reply for each request."""
    about, frames = _receive(connection)
    triples = zip(asked.requests, frames, about["errors"], strict=True)
    return [Reply(r.client, None if error else frame, error) for r, frame, error in triples]


def _send(
    connection: "Connection[bytes, bytes]", about: dict[str, object], frames: list[bytes]
) -> None:
    header = {**about, "lengths": [len(frame) for frame in frames]}
    connection.send_bytes(json.dumps(header).encode())
    connection.send_bytes(b"".join(frames))


def _receive(connection: "Connection[bytes, bytes]") -> tuple[dict[str, Any], list[bytes]]:
    about = json.loads(connection.recv_bytes(_MOST_HEADER))
    joined, at, frames = memoryview(connection.recv_bytes(_MOST_FRAMES)), 0, []
    for length in about.pop("lengths"):
        frames.append(bytes(joined[at : at + length]))
        at += length
    return about, frames
