"""What a process has worked out of a pack, kept for when it dies before the pack is done.

A pack that is lost is asked again; the groups of it that were finished are read back instead of
being trained anew. Their files lie on the machine of the process, for as long as the pack takes.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fedlora.runtime.pack import RequestPack
from fedlora.wire.exchange import Reply, Request

FOLDER = "FEDLORA_FINISHED"
"""The environment variable that names the folder of the files; nothing is kept without it."""


def answer(asked: RequestPack, respond: Callable[[RequestPack], Sequence[Reply]]) -> list[Reply]:
    """One reply for each request, in order; `respond` works out the groups that are not kept.

    What cannot be kept, on a full disk for one, is answered all the same.
    """
    named = os.environ.get(FOLDER)
    if named is None:
        return list(respond(asked))
    size = asked.together
    groups = [asked.requests[at : at + size] for at in range(0, len(asked.requests), size)]
    files = [Path(named) / _name(asked, group) for group in groups]
    replies: list[Reply] = []
    for group, file in zip(groups, files, strict=True):
        made = _read(file, group)
        if made is None:
            made = list(respond(replace(asked, requests=group)))
            if file is not files[-1]:  # which is on its way as soon as it is done
                _write(file, made)
        replies += made
    for file in files:
        with suppress(OSError):
            file.unlink()
    with suppress(OSError):
        Path(named).rmdir()  # on a machine that the run's end does not reach; not if in use
    return replies


def _name(asked: RequestPack, group: Sequence[Request]) -> str:
    """Of the file of a group: all that its answers follow from."""
    total = hashlib.blake2b(f"{asked.origin.run}:{asked.seed}:{asked.config}".encode())
    for request in group:
        total.update(f":{request.client}:{len(request.frame)}:".encode())
        total.update(request.frame)
    return total.hexdigest()[:40]


def _read(file: Path, group: Sequence[Request]) -> list[Reply] | None:
    with suppress(OSError, SafetensorError, KeyError):
        kept = load(file.read_bytes())
        return [Reply(one.client, kept[str(one.client)].tobytes()) for one in group]
    return None


def _write(file: Path, replies: Sequence[Reply]) -> None:
    """Whole or not at all; nothing of a group in which a client failed, which is tried again."""
    frames = {
        str(reply.client): np.frombuffer(reply.frame, np.uint8)
        for reply in replies
        if reply.frame is not None
    }
    if len(frames) < len(replies):
        return
    part = file.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.write_bytes(save(frames))
        part.replace(file)
