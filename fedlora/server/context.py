"""What every phase of a run has at hand on the server's side."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator
from fedlora.roster import Seat
from fedlora.server.asking import Asker
from fedlora.server.journal import Journal
from fedlora.server.observer import Observer
from fedlora.server.screening import screen
from fedlora.wire.codecs.contract import Codec
from fedlora.wire.message import JSON, Message, Purpose

# What an answer may hold beside the values of its adapters and its task vector.
ENVELOPE_BYTES = 8 << 20


@dataclass(frozen=True)
class Profile:
    """What clients must have in common before their answers can be used together.

    head: names and shapes of the trained head's tensors; empty without one.
    labels: of the head's rows; empty without one.
    metric: what tasks are judged by.
    vector_size: values of a task vector.
    """

    head: tuple[tuple[str, tuple[int, ...]], ...]
    labels: tuple[str, ...]
    metric: str
    vector_size: int


@dataclass
class ServerContext:
    """One seed of one run.

    folder: where the seed's bank, generator and tables are.
    spec: of every adapter; the head is known once clients have described their tasks.
    profile: of every client; known then, too.
    """

    config: RunConfig
    seed: int
    folder: Path
    seats: list[Seat]
    spec: AdapterSpec
    codec: Codec
    journal: Journal
    asker: Asker
    observer: Observer
    profile: Profile | None = None

    def seen_by(self, generator: Generator, vectors: Tensor) -> Tensor:
        """Task vectors (m, c) as a generator takes them: prompts one by one, or their mean."""
        return generator.sees(vectors, self.config.task_vector.prompts)

    @cached_property
    def codec_up(self) -> Codec:
        """How answers travel."""
        codec: Codec = (self.config.codec_up or self.config.codec).build()
        return codec

    @cached_property
    def run(self) -> str:
        """The run's name among all, under which clients keep what they must remember."""
        if self.journal.outcome("run", 0) is None:
            self.journal.conclude("run", 0, secrets.token_hex(8).encode())
        return (self.journal.outcome("run", 0) or b"").decode()

    def rank(self, client: int) -> int:
        """The rank that a client was given."""
        return self.seats[client].rank

    def rank_now(self, client: int) -> int:
        """The rank that a client goes on with: its own, unless it has given ranks up."""
        known = self.journal.outcome("rank", client)
        return int(known) if known else self.rank(client)

    def settle(self, profile: Profile) -> None:
        """Fix what the clients have in common, and with it how large an answer may be."""
        self.profile = profile
        self.spec = replace(self.spec, head=profile.head)
        samples = self.config.finetune.checkpoints * self.config.finetune.repeats
        self.asker.limit = ENVELOPE_BYTES + 8 * self.spec.size * samples

    def message(
        self,
        purpose: Purpose,
        action: str,
        adapters: Mapping[str, LoraAdapter] | None = None,
        **meta: JSON,
    ) -> Message:
        """A message that asks for an action and carries adapters by name."""
        tensors = {f"adapter.{n}": self.codec.encode(a) for n, a in (adapters or {}).items()}
        return Message(purpose, tensors, {"action": action, **meta})

    def adapter(self, message: Message, name: str, rank: int | None = None) -> LoraAdapter:
        """An adapter of an answer, screened; of the bank's rank where none is named.

        Raises:
            FedloraError: it is missing, malformed, not finite, or larger than believable.
        """
        adapter = self.screened(message, name, rank)
        screen(adapter, self.spec, self.config.rounds.max_norm)
        return adapter

    def screened(self, message: Message, name: str, rank: int | None = None) -> LoraAdapter:
        """An adapter of an answer that was screened when it came.

        Raises:
            FedloraError: it is missing or malformed.
        """
        tensor = message.tensors.get(f"adapter.{name}")
        if tensor is None:
            raise FedloraError(f"answer lacks the adapter '{name}'")
        return self.codec_up.decode(
            tensor, self.spec if rank is None else self.spec.with_rank(rank)
        )

    def check_task(self, client: int, message: Message) -> None:
        """Refuse an answer that speaks for another task than the client's own."""
        task = self.seats[client].task
        if message.meta.get("task") != task:
            raise FedloraError(f"answer for task {message.meta.get('task')!a:.80}, not '{task}'")
