"""A federation whose clients echo frames, or fail as their frame tells them to."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fedlora.config import RunConfig, from_dict
from fedlora.runtime.pack import RequestPack
from fedlora.wire.exchange import Answer, Reply, Request, Transport, one_by_one


def small_config(nodes: int = 2, timeout: float = 60.0, name: str = "ray") -> RunConfig:
    """Real, and as small as a configuration can be."""
    return from_dict(
        {
            "name": "echo",
            "backbone": {"name": "tiny_vit"},
            "tasks": {"name": "image_domains", "bank": 5, "held_out": 2},
            "generator": {"name": "mean"},
            "rounds": {"timeout": timeout},
            "runtime": {"name": name, "nodes": nodes},
        },
        origin="a test",
    )


def respond(asked: RequestPack) -> list[Reply]:
    """What `client_app` takes."""
    return start(asked.config, asked.seed)(asked.requests)


def start(config: str, seed: int) -> Answer:
    """Clients that do what their frame says."""

    def handle(client: int, frame: bytes) -> bytes:
        words = frame.decode().split()
        match words:
            case ["raise", text]:
                raise ValueError(text)
            case ["die"]:
                os._exit(1)
            case ["die_once", marker] if not Path(marker).exists():
                Path(marker).touch()
                os._exit(1)
            case ["count", file]:
                with Path(file).open("a") as lines:
                    lines.write("once\n")
            case ["sleep", seconds]:
                time.sleep(float(seconds))
        return f"{client} {seed} {len(config)} {frame.decode()}".encode()

    return one_by_one(handle)


def ask(transport: Transport, frames: Sequence[str]) -> dict[int, Reply]:
    """Send frame i to client i; the replies by client."""
    requests = [Request(client, frame.encode()) for client, frame in enumerate(frames)]
    replies = list(transport.exchange(requests))
    assert sorted(reply.client for reply in replies) == list(range(len(frames)))
    return {reply.client: reply for reply in replies}


def collect(stories: Sequence[Sequence[str]]) -> tuple[list[dict[int, Reply]], Callable[..., None]]:
    """A story that asks each list of frames in turn, and the list its answers go to."""
    answers: list[dict[int, Reply]] = []

    def story(transport: Transport) -> None:
        answers.extend(ask(transport, frames) for frames in stories)

    return answers, story
