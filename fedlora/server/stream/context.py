"""What every step of a stream has at hand on the server's side."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.config import ContinualConfig, RunConfig
from fedlora.continual.heads import BIAS, WEIGHT
from fedlora.continual.keeper import Keeper
from fedlora.server.asking import Asker
from fedlora.server.journal import Journal
from fedlora.server.observer import Observer
from fedlora.wire.codecs.contract import Codec
from fedlora.wire.message import JSON, Message, Purpose


@dataclass(frozen=True)
class Plan:
    """What the clients say of the stream.

    tasks: names in order; classes: label names of each.
    examples: of each client, training examples by task.
    width: of the features that heads see.
    vectors: of each task, the mean feature (width,) of its examples by the base model.
    """

    tasks: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...]
    examples: Mapping[int, tuple[int, ...]]
    width: int
    vectors: tuple[Tensor, ...]


@dataclass
class StreamContext:
    """One seed of one continual run."""

    config: RunConfig
    continual: ContinualConfig
    seed: int
    folder: Path
    spec: AdapterSpec
    codec: Codec
    journal: Journal
    asker: Asker
    observer: Observer

    @property
    def clients(self) -> range:
        """All clients."""
        return range(self.config.shards.per_task)

    def message(
        self,
        purpose: Purpose,
        action: str,
        frozen: LoraAdapter | None,
        tensors: Mapping[str, Tensor] | None = None,
        **meta: JSON,
    ) -> Message:
        """A message that asks for an action with the branches so far."""
        sent = dict(tensors or {})
        about: dict[str, JSON] = {"action": action, **meta}
        if frozen is not None:
            sent["adapter.frozen"] = self.codec.encode(frozen)
            about["frozen_rank"] = max(layer.rank for layer in frozen.spec.layers)
        return Message(purpose, sent, about)

    def spec_of(self, keeper: Keeper, covered: list[int]) -> AdapterSpec:
        """The spec of a branch with the head of some tasks."""
        classes = sum(keeper.classes[task] for task in covered)
        head = ((WEIGHT, (classes, keeper.width)), (BIAS, (classes,)))
        return replace(self.spec, head=head)
