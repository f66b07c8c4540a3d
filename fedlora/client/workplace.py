"""Where an action is carried out."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fedlora import cache, seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.backbone import AdapterSlot
from fedlora.client.desk import Desk
from fedlora.client.protecting import protection_of
from fedlora.client.trial import score
from fedlora.config import RunConfig, TrainSection
from fedlora.errors import FedloraError
from fedlora.finetune.activation_cache import ActivationCache
from fedlora.finetune.job import Job
from fedlora.finetune.local import spec_of
from fedlora.finetune.lower_blocks import BELOW
from fedlora.finetune.objectives import Rows
from fedlora.finetune.state_store import StateStore
from fedlora.finetune.trainer import Trainer
from fedlora.spans import span
from fedlora.wire.codecs.contract import Codec
from fedlora.wire.message import Message

STATES = "states"
"""In the cache: states below the adapters that memory has no room for, while the process lives."""


@dataclass(frozen=True, eq=False)
class Workplace:
    """One client's desk, and how it reads and writes adapters.

    scores: the last adapter that was judged on a task's test rows, by its digest, and its scores:
        clients of the task who are served the same one need no pass of their own.
    trainer: trains several jobs of one client, at once where the run does so.
    """

    config: RunConfig
    seed: int
    desk: Desk
    codec: Codec
    codec_up: Codec
    states: ActivationCache
    scores: dict[str, tuple[str, dict[str, float]]]
    trainer: Trainer

    @span("serialisation")
    def read(self, message: Message, name: str) -> LoraAdapter:
        """An adapter of a message.

        Raises:
            FedloraError: it is missing, or not what this client's base model takes.
        """
        tensor = message.tensors.get(f"adapter.{name}")
        if tensor is None:
            raise FedloraError(f"message lacks the adapter '{name}'")
        return self.codec.decode(tensor, self.spec())

    @span("serialisation")
    def write(self, adapters: Mapping[str, LoraAdapter]) -> dict[str, Tensor]:
        """Adapters as the tensors of an answer."""
        return {f"adapter.{name}": self.codec_up.encode(a) for name, a in adapters.items()}

    def spec(self) -> AdapterSpec:
        """The spec of every adapter of this client's task."""
        return spec_of(self.desk.objective).with_rank(self.desk.seat.rank)

    def job(self, start: LoraAdapter, settings: TrainSection, seed: int, keep: int = 1) -> Job:
        """Training on the client's own shard."""
        desk = self.desk
        validation = desk.validation if settings.patience else None
        protection = protection_of(self.config, desk.examples)
        return Job(
            desk.objective, start, self.shard(), validation, settings, seed, keep, None, protection
        )

    def shard(self) -> Rows:
        """The training rows, with the states below the adapters where these are kept."""
        desk = self.desk
        return self.states.extend(desk.seat.client, desk.objective, desk.train)

    def test(self) -> Rows:
        """The test rows, likewise; clients of a task share them."""
        return self.judged(("test", self.desk.seat.task), self.desk.test)

    def judged(self, name: object, rows: Rows) -> Rows:
        """Rows to be scored, with the states below the adapters where `judge` takes these.

        name: rows of the same name are the same.
        """
        objective = self.desk.objective
        passes = objective.spread(rows)
        if passes is None:
            return rows
        states = self.states.extend(name, objective, passes).get(BELOW)
        if states is None:
            return rows
        own = states if passes is rows else states.unflatten(0, (len(rows["labels"]), -1))
        return rows | {BELOW: own}

    def worth(self, adapter: LoraAdapter) -> dict[str, float]:
        """The scores of an adapter on the test rows, on the base model as it came."""
        task, digest = self.desk.seat.task, adapter.digest()
        known, scores = self.scores.get(task, ("", {}))
        if known != digest:
            scores = score(self.desk.objective, adapter, self.test())
            self.scores[task] = digest, scores
        return scores

    def purpose(self, *what: str | int) -> int:
        """A seed for one purpose of this client."""
        return seeding.derive(self.seed, "client", self.desk.seat.client, *what)


def state_cache(config: RunConfig, slot: AdapterSlot) -> ActivationCache:
    """Room for states below the adapters, as the run grants it."""
    runtime = config.runtime
    room = (runtime.activation_cache << 20, runtime.activation_disk << 20)
    return ActivationCache(slot, StateStore(*room, cache.folder() / STATES, runtime.together))
