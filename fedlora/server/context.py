"""What every phase of a run has at hand on the server's side."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.roster import Seat
from fedlora.server.asking import Asker
from fedlora.server.journal import Journal
from fedlora.server.observer import Observer
from fedlora.server.screening import Limits, screen
from fedlora.wire.codecs.contract import Codec
from fedlora.wire.message import JSON, Message, Purpose


@dataclass
class ServerContext:
    """One seed of one run.

    folder: where the seed's bank, generator and tables are.
    spec: of every adapter; the head is known once clients have described their tasks.
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

    def adapter(self, message: Message, name: str) -> LoraAdapter:
        """An adapter of an answer, screened.

        Raises:
            FedloraError: it is missing, malformed, not finite, or larger than believable.
        """
        tensor = message.tensors.get(f"adapter.{name}")
        if tensor is None:
            raise FedloraError(f"answer lacks the adapter '{name}'")
        adapter = self.codec.decode(tensor, self.spec)
        screen(adapter, self.spec, Limits(norm=self.config.rounds.max_norm))
        return adapter

    def check_task(self, client: int, message: Message) -> None:
        """Refuse an answer that speaks for another task than the client's own."""
        task = self.seats[client].task
        if message.meta.get("task") != task:
            raise FedloraError(f"answer for task {message.meta.get('task')!a:.80}, not '{task}'")
