"""Answers that federations share: those of one attack ask the same until their defences differ."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from fedlora.bench.kept import Kept
from fedlora.config import RunConfig
from fedlora.wire.exchange import Answer, Reply, Request


def shared(answer: Answer, folder: Path, origin: str) -> Answer:
    """The same answers; those that were given before are read from `folder`.

    Clients answer from their configuration, their seed and what they are asked, and where they
    train together by whom they train with, so that answers are kept by all requests of a pack.

    origin: what else decides the answers, see `origin_of`.
    """
    kept: Kept[list[str]] = Kept(folder, list[str])

    def answered(requests: Sequence[Request]) -> list[Reply]:
        part = _digest(origin, requests)
        before = kept.get(part)
        if before is not None:
            return [
                Reply(request.client, bytes.fromhex(frame))
                for request, frame in zip(requests, before, strict=True)
            ]
        replies = answer(requests)
        frames = [reply.frame.hex() for reply in replies if reply.frame is not None]
        if len(frames) == len(replies):
            kept.put(part, frames)
        return replies

    return answered


def origin_of(config: RunConfig, seed: int) -> str:
    """What decides the answers of a run's clients beside what they are asked.

    The whole configuration, without the sections that the server reads (a client looks there only
    to refuse what it is not to be asked); of the rounds' method what it asks of clients, in odd and
    in even rounds.
    """
    said = config.model_dump(mode="json", exclude={"screening", "learning"})
    del said["warm_start"]["aggregation"]
    method = config.warm_start.aggregation.build()
    return f"{seed} {said} {method.duty(1)} {method.duty(2)}"


def _digest(origin: str, requests: Sequence[Request]) -> str:
    asked = hashlib.sha256(origin.encode())
    for request in requests:
        asked.update(f"\n{request.client} {hashlib.sha256(request.frame).hexdigest()}".encode())
    return asked.hexdigest()
