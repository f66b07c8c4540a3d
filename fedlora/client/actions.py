"""What a client can be asked to do, one function an action."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.client.desk import Desk
from fedlora.client.trial import local_methods, score
from fedlora.config import RunConfig, TrainSection
from fedlora.errors import FedloraError
from fedlora.finetune.job import Trained
from fedlora.finetune.local import current, fresh, train
from fedlora.finetune.task_vector import task_vector
from fedlora.wire.codecs.contract import Codec
from fedlora.wire.message import JSON, Message


@dataclass(frozen=True, eq=False)
class Workplace:
    """Where an action is carried out: one client's desk, and how it reads and writes adapters."""

    config: RunConfig
    seed: int
    desk: Desk
    codec: Codec

    def read(self, message: Message, name: str) -> LoraAdapter:
        """An adapter of a message.

        Raises:
            FedloraError: it is missing, or not what this client's base model takes.
        """
        tensor = message.tensors.get(f"adapter.{name}")
        if tensor is None:
            raise FedloraError(f"message lacks the adapter '{name}'")
        return self.codec.decode(tensor, self.spec())

    def write(self, adapters: Mapping[str, LoraAdapter]) -> dict[str, Tensor]:
        """Adapters as the tensors of a message."""
        return {f"adapter.{name}": self.codec.encode(a) for name, a in adapters.items()}

    def spec(self) -> AdapterSpec:
        """The spec of every adapter of this client's task."""
        return current(self.desk.objective).spec

    def purpose(self, *what: str | int) -> int:
        """A seed for one purpose of this client."""
        return seeding.derive(self.seed, "client", self.desk.seat.client, *what)


def describe(place: Workplace, _message: Message) -> Message:
    """Say what the task is like: its vector, and a few counts."""
    desk = place.desk
    vector = task_vector(desk.objective, desk.train, place.config.task_vector)
    meta: dict[str, JSON] = {
        "task": desk.seat.task,
        "role": desk.seat.role,
        "examples": desk.examples,
        "metric": desk.objective.metric,
        "spec": place.spec().to_json(),
        # A trained head means something only beside the labels of its rows.
        "labels": list(desk.objective.label_names) if desk.objective.head() else [],
    }
    return Message("task_vector", {"vector": vector}, meta)


def warm_up(place: Workplace, message: Message) -> Message:
    """One round of federated averaging: train the common adapter a little."""
    settings = place.config.warm_start.train
    seed = place.purpose("warm_start", _integer(message, "round"))
    started = time.perf_counter()
    trained = _train(place, _start(place, message), settings, seed)
    return Message(
        "train",
        place.write({"trained": trained.adapters[-1]}),
        _account(place, trained, started),
    )


def finetune(place: Workplace, message: Message) -> Message:
    """Fine-tune for the client's own task; the last checkpoints of every repeat are samples."""
    settings = place.config.finetune
    started = time.perf_counter()
    samples: list[LoraAdapter] = []
    scores: list[JSON] = []
    for repeat in range(settings.repeats):
        seed = place.purpose("finetune", repeat)
        trained = _train(
            place, _start(place, message, repeat), settings, seed, settings.checkpoints
        )
        for adapter in trained.adapters:
            samples.append(adapter)
            scores.append(score(place.desk.objective, adapter, place.desk.validation))
    named = {str(number): adapter for number, adapter in enumerate(samples)}
    account = _account(place, trained, started)
    return Message("adapter", place.write(named), account | {"samples": scores})


def adopt(place: Workplace, message: Message) -> Message:
    """Use what was received at once; refine it and give it back if the run says so."""
    desk, config = place.desk, place.config.adoption
    adapter = place.read(message, "received")
    received = score(desk.objective, adapter, desk.test)
    meta: dict[str, JSON] = {"task": desk.seat.task, "received": received}
    if not config.refine_epochs:
        return Message("evaluation", {}, meta)
    settings = place.config.finetune.model_copy(update={"epochs": config.refine_epochs})
    refined = _train(place, adapter, settings, place.purpose("refine")).adapters[-1]
    meta["refined"] = score(desk.objective, refined, desk.test)
    given = place.write({"refined": refined}) if config.contribute else {}
    return Message("adapter" if config.contribute else "evaluation", given, meta)


def evaluate(place: Workplace, message: Message) -> Message:
    """Score every candidate and every local method on the test split."""
    names = [name.removeprefix("adapter.") for name in message.tensors]
    candidates = {name: place.read(message, name) for name in names}
    values: dict[str, JSON] = {
        name: score(place.desk.objective, adapter, place.desk.test)
        for name, adapter in candidates.items()
    }
    values |= local_methods(
        place.config, place.desk, candidates, place.seed, place.purpose("evaluate")
    )
    desk = place.desk
    meta: dict[str, JSON] = {
        "task": desk.seat.task,
        "values": values,
        "metric": desk.objective.metric,
    }
    return Message("evaluation", {}, meta)


ACTIONS: dict[str, Callable[[Workplace, Message], Message]] = {
    "describe": describe,
    "warm_up": warm_up,
    "finetune": finetune,
    "adopt": adopt,
    "evaluate": evaluate,
}


def _train(
    place: Workplace, start: LoraAdapter, settings: TrainSection, seed: int, keep: int = 1
) -> Trained:
    desk = place.desk
    validation = desk.validation if settings.patience else None
    return train(desk.objective, start, desk.train, validation, settings, seed, keep)


def _start(place: Workplace, message: Message, repeat: int = 0) -> LoraAdapter:
    """The adapter that came along, or a first one: common to the run, or this client's own."""
    if "adapter.start" in message.tensors:
        return place.read(message, "start")
    if message.meta["action"] == "finetune" and place.config.finetune.init == "independent":
        return fresh(place.desk.objective, place.purpose("start", repeat))
    return fresh(place.desk.objective, seeding.derive(place.seed, "start"))


def _account(place: Workplace, trained: Trained, started: float) -> dict[str, JSON]:
    return {
        "task": place.desk.seat.task,
        "examples": place.desk.examples,
        "curve": trained.curve,
        "validation": trained.validation,
        "loss": trained.curve[-1],
        "seconds": time.perf_counter() - started,
    }


def _integer(message: Message, key: str) -> int:
    value = message.meta.get(key)
    if not isinstance(value, int):
        raise FedloraError(f"message lacks the number '{key}'")
    return value
