"""Packs: what one Flower message carries for many clients.

A pack's frames lie end to end in one array, so that a message has two objects to move however
many clients it speaks of; their lengths, and what failed, stand in a ConfigRecord.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedlora.wire.exchange import Reply, Request

_FRAMES, _ABOUT = "frames", "about"


@dataclass(frozen=True)
class Origin:
    """Where a pack comes from; empty where server and nodes are one installation.

    run: the same for all packs of one run, resumed or not.
    version: of the server's fedlora.
    base: SHA-256 of the server's base model.
    standing: it serves newcomers, who have no seat in the run.
    """

    run: str = ""
    version: str = ""
    base: str = ""
    standing: bool = False


NOWHERE = Origin()


@dataclass(frozen=True)
class RequestPack:
    """Requests for the clients of one node, with all a client needs to know of the run.

    config: the resolved configuration as JSON, so that every node works to the server's.
    origin: of the run and of its server, for the node to check before it does anything.
    together: how many requests, from the first on, are answered at once.
    """

    config: str
    seed: int
    requests: tuple[Request, ...]
    origin: Origin = NOWHERE
    together: int = 1


@dataclass(frozen=True)
class ReplyPack:
    """One reply for each request of a pack, and the seconds that the node worked on them."""

    replies: tuple[Reply, ...]
    seconds: float


def write_requests(pack: RequestPack) -> RecordDict:
    """The content of the message that carries the pack to a node."""
    told = {"config": pack.config, "seed": pack.seed, "together": pack.together}
    about = {**told, **asdict(pack.origin)}
    clients = [request.client for request in pack.requests]
    return _content(clients, [request.frame for request in pack.requests], about)


def read_requests(content: RecordDict) -> RequestPack:
    """The inverse of `write_requests`.

    Raises:
        ValueError, KeyError or TypeError: the content is no pack of requests.
    """
    about: Any = content[_ABOUT]
    pairs = zip(about["clients"], _frames(content), strict=True)
    requests = tuple(Request(client, frame) for client, frame in pairs)
    origin = Origin(about["run"], about["version"], about["base"], about["standing"])
    together = max(about["together"], 1)
    return RequestPack(about["config"], about["seed"], requests, origin, together)


def write_replies(pack: ReplyPack) -> RecordDict:
    """The content of the message that carries the pack back."""
    about = {"errors": [reply.error for reply in pack.replies], "seconds": pack.seconds}
    clients = [reply.client for reply in pack.replies]
    return _content(clients, [reply.frame or b"" for reply in pack.replies], about)


def read_replies(content: RecordDict) -> ReplyPack:
    """The inverse of `write_replies`.

    Raises:
        ValueError, KeyError or TypeError: the content is no pack of replies.
    """
    about: Any = content[_ABOUT]
    triples = zip(about["clients"], _frames(content), about["errors"], strict=True)
    replies = tuple(_reply(*triple) for triple in triples)
    return ReplyPack(replies, float(about["seconds"]))


_MOST_WORDS = 1000
"""Signs of what a client says went wrong."""


def _reply(client: Any, frame: bytes, error: Any) -> Reply:
    """Of a node's word: 1.0 and True equal 1, and would pass for a client's index."""
    if type(client) is not int or not isinstance(error, str):
        raise TypeError(f"client {client!a:.40} with the error {error!a:.40}")
    if not error:
        return Reply(client, frame, "")
    # It is shown to a person, and stands among the lines of a log that tell how far a run is.
    plain = " ".join("".join(sign if sign.isprintable() else " " for sign in error).split())
    return Reply(client, None, plain[:_MOST_WORDS] or "no reason was given")


def _content(clients: list[int], frames: Sequence[bytes], about: dict[str, Any]) -> RecordDict:
    joined = np.frombuffer(b"".join(frames), np.uint8)
    lengths = [len(frame) for frame in frames]
    record = ConfigRecord({**about, "clients": clients, "lengths": lengths})
    return RecordDict({_FRAMES: ArrayRecord({_FRAMES: Array(joined)}), _ABOUT: record})


def _frames(content: RecordDict) -> list[bytes]:
    arrays: Any = content[_FRAMES]
    about: Any = content[_ABOUT]
    joined = arrays[_FRAMES].numpy()
    lengths = about["lengths"]
    whole = sum(lengths) == joined.size and min(lengths, default=0) >= 0
    if not whole or joined.dtype != np.uint8 or joined.ndim != 1:
        raise ValueError("frames and their lengths do not agree")
    ends = accumulate(lengths, initial=0)
    return [joined[start:end].tobytes() for start, end in pairwise(ends)]
