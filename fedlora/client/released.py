"""Noisy answers that clients have given, so that nobody has their noise drawn anew."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora import atomic, cache
from fedlora.client.tuition import integer
from fedlora.config import RunConfig
from fedlora.privacy.chance import repeats
from fedlora.wire.message import Message


@dataclass(frozen=True, eq=False)
class Released:
    """The frames that the clients of one run and seed have sent with noise, in files.

    A budget pays for one answer to each question of the plan. The mean of many, each with noise of
    its own, would tell what the noise hides, so that whoever asks again gets the same frame,
    whatever else the question says, from a client that was started anew as well. Where noise
    follows from the seed, as in a simulation, nothing is kept.

    noisy: the actions that are answered with noise, and the numbers of a message that tell one
        question of the plan from another; the action refuses those that the plan has not.
    """

    noisy: Mapping[str, tuple[str, ...]]
    folder: Path

    def purpose(self, client: int | str, action: str, message: Message) -> Path | None:
        """Where an answer is kept; None where it has no noise.

        Raises:
            FedloraError: the message lacks a number.
        """
        if action not in self.noisy:
            return None
        asked = [int(integer(message, key)) for key in self.noisy[action]]
        return self.folder / _digest([client, action, *asked])

    def before(self, purpose: Path | None) -> bytes | None:
        """What was sent for a purpose, if anything was."""
        return purpose.read_bytes() if purpose and purpose.exists() else None

    def keep(self, purpose: Path | None, frame: bytes) -> bytes:
        """What is to be sent: the first frame that there was for its purpose.

        Raises:
            FedloraError: it cannot be kept, so that nothing is sent.
        """
        return atomic.first_bytes(purpose, frame) if purpose else frame


def released(config: RunConfig, seed: int) -> Released:
    """What the clients on this machine have said of a run and seed."""
    root, noisy = cache.folder() / "released", _noisy(config)
    if noisy:
        cache.forget_old(root)
    return Released(noisy, root / _digest([_plan(config), seed]))


def _plan(config: RunConfig) -> str:
    """The configuration without where this machine has its model and data, which may be moved."""
    said = config.model_dump(mode="json")
    del said["backbone"]["name"]
    return json.dumps(said | {"tasks": _without_paths(said["tasks"])})


def _without_paths(said: Any) -> Any:
    if isinstance(said, dict):
        return {key: _without_paths(value) for key, value in said.items() if key != "path"}
    return said


def _noisy(config: RunConfig) -> Mapping[str, tuple[str, ...]]:
    if repeats(config):
        return {}
    noisy: dict[str, tuple[str, ...]] = {}
    privacy = config.privacy
    if privacy and privacy.examples:
        noisy |= {"warm_up": ("round",), "grow": ("round",), "finetune": ()}
    if privacy and privacy.task_vector:
        noisy |= {"describe": ()}
    if config.continual and config.continual.noise:
        noisy |= {"look": ("task", "transfer")}
    return noisy


def _digest(what: list[str | int]) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
