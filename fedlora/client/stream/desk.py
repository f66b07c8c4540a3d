"""What one client of a stream works with when a message comes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.total import total_spec
from fedlora.backbone import AdapterSlot
from fedlora.client.stream.holdings import Holdings
from fedlora.config import ContinualConfig, RunConfig
from fedlora.continual.contract import Method
from fedlora.continual.heads import BIAS, WEIGHT
from fedlora.continual.stream import feature_width
from fedlora.errors import FedloraError
from fedlora.wire.codecs.contract import Codec
from fedlora.wire.message import Message


@dataclass(frozen=True, eq=False)
class StreamDesk:
    """One client, its shards of all tasks, and the common model."""

    config: RunConfig
    continual: ContinualConfig
    seed: int
    client: int
    slot: AdapterSlot
    codec: Codec
    method: Method
    holdings: Holdings

    @property
    def width(self) -> int:
        """Values of the features that heads see."""
        return feature_width(self.holdings.tasks[0])

    def task(self, message: Message, key: str = "task") -> int:
        """The task that a message is about, by its place in the stream.

        Raises:
            FedloraError: the stream has no such task.
        """
        number = message.meta.get(key)
        if not isinstance(number, int) or not 0 <= number < len(self.holdings.tasks):
            raise FedloraError(f"message names the task {number!a:.40}, which the stream has not")
        return number

    def covered(self, message: Message) -> list[int]:
        """The tasks whose classes are told apart in a step's training.

        Raises:
            FedloraError: they are not tasks of the stream in rising order.
        """
        numbers = message.meta.get("covered")
        known = range(len(self.holdings.tasks))
        if not isinstance(numbers, list) or not numbers or not all(n in known for n in numbers):
            raise FedloraError(f"message covers the tasks {numbers!a:.80}, not those of the stream")
        if numbers != sorted(set(numbers)):
            raise FedloraError("message covers tasks twice, or out of order")
        return numbers

    def frozen(self, message: Message) -> LoraAdapter | None:
        """The branches so far, as one adapter; None before the first.

        Raises:
            FedloraError: it is malformed.
        """
        tensor = message.tensors.get("adapter.frozen")
        if tensor is None:
            return None
        rank = message.meta.get("frozen_rank")
        if not isinstance(rank, int) or not 1 <= rank <= 1 << 16:
            raise FedloraError("message lacks the rank of its frozen adapter")
        return self.codec.decode(tensor, total_spec(self.slot.spec, rank))

    def start(self, message: Message, covered: Sequence[int]) -> LoraAdapter:
        """Where a step's branch starts, beside its head.

        Raises:
            FedloraError: it is missing or malformed.
        """
        tensor = message.tensors.get("adapter.start")
        if tensor is None:
            raise FedloraError("message lacks the adapter 'start'")
        return self.codec.decode(tensor, self.spec(covered))

    def spec(self, covered: Sequence[int]) -> AdapterSpec:
        """The spec of a branch with the head of some tasks."""
        classes = sum(len(self.holdings.tasks[task].classes) for task in covered)
        head = ((WEIGHT, (classes, self.width)), (BIAS, (classes,)))
        return replace(self.slot.spec, head=head)

    def purpose(self, *what: str | int) -> int:
        """A seed for one purpose of this client."""
        return seeding.derive(self.seed, "client", self.client, *what)
