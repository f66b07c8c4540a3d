"""The clients of a continual run that live in one process."""

from collections.abc import Sequence

import torch

from fedlora.backbone import open_slot
from fedlora.client.released import released
from fedlora.client.stream.actions import ACTIONS
from fedlora.client.stream.desk import StreamDesk
from fedlora.client.stream.holdings import Holdings
from fedlora.config import ContinualConfig, RunConfig
from fedlora.continual.stream import encode_stream
from fedlora.errors import FedloraError
from fedlora.spans import span
from fedlora.wire.exchange import Reply, Request, one_by_one
from fedlora.wire.message import decode, encode

ENVELOPE = 8 << 20
"""Bytes of a message beside its adapters."""


class StreamClient:
    """Answers from its shards alone; an answer depends on nothing that was answered before.

    But for noise that no seed repeats: it is drawn once for each purpose.
    """

    def __init__(self, config: RunConfig, continual: ContinualConfig, seed: int) -> None:
        torch.set_num_threads(config.runtime.threads)
        self.config, self.continual, self.seed = config, continual, seed
        self.slot = open_slot(config.backbone, config.lora, config.runtime.device)
        tasks = encode_stream(config.tasks.build(), self.slot, config.backbone.max_length)
        self.holdings = Holdings(config, tuple(tasks), seed)
        self.method = continual.method.build()
        self.codec = config.codec.build()
        self.released = released(config, seed)

    def handle(self, client: int, frame: bytes) -> bytes:
        """Answer one encoded message with another.

        Raises:
            FedloraError: the message asks for what is unknown, or the client's data is wrong.
        """
        clients = self.config.shards.per_task
        if not 0 <= client < clients:
            raise FedloraError(f"no client {client}: the run has {clients}")
        message = decode(frame, self._limit())
        action = str(message.meta.get("action"))
        if action not in ACTIONS:
            raise FedloraError(f"message asks for '{action}': not something a client does")
        purpose = self.released.purpose(client, action, message)
        if (before := self.released.before(purpose)) is not None:
            return before
        with span("training" if action == "learn" else "evaluation"):
            frame = encode(ACTIONS[action](self._desk(client), message))
        return self.released.keep(purpose, frame)

    def handle_many(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer many requests, one after another; a client that fails costs its own only."""
        return one_by_one(self.handle)(requests)

    def _desk(self, client: int) -> StreamDesk:
        return StreamDesk(
            config=self.config,
            continual=self.continual,
            seed=self.seed,
            client=client,
            slot=self.slot,
            codec=self.codec,
            method=self.method,
            holdings=self.holdings,
        )

    def _limit(self) -> int:
        """A start and all branches so far: two adapters a task at most, and every head."""
        tasks = len(self.holdings.tasks)
        return ENVELOPE + 8 * (tasks + 1) * self.slot.spec.size
