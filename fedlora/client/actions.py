"""What a client can be asked to do besides training for the bank, one function an action."""

from collections.abc import Callable
from dataclasses import replace

from fedlora.client.trial import local_methods, score
from fedlora.client.workplace import Workplace
from fedlora.finetune.local import train
from fedlora.finetune.task_vector import task_vector
from fedlora.spans import span
from fedlora.wire.message import JSON, Message


@span("evaluation")
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


def adopt(place: Workplace, message: Message) -> Message:
    """Use what was received at once; refine it and give it back if the run says so."""
    desk, config = place.desk, place.config.adoption
    adapter = place.read(message, "received")
    received = score(desk.objective, adapter, desk.test)
    meta: dict[str, JSON] = {"task": desk.seat.task, "received": received}
    if not config.refine_epochs:
        return Message("evaluation", {}, meta)
    settings = place.config.finetune.model_copy(update={"epochs": config.refine_epochs})
    with span("training"):
        refined = train(*place.job(adapter, settings, place.purpose("refine"))).adapters[-1]
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
    desk = replace(place.desk, train=place.shard())
    values |= local_methods(place.config, desk, candidates, place.seed, place.purpose("evaluate"))
    meta: dict[str, JSON] = {
        "task": desk.seat.task,
        "values": values,
        "metric": desk.objective.metric,
    }
    return Message("evaluation", {}, meta)


ACTIONS: dict[str, Callable[[Workplace, Message], Message]] = {
    "describe": describe,
    "adopt": adopt,
    "evaluate": evaluate,
}
