"""What a client can be asked to do besides training for the bank, one function an action."""

from collections.abc import Callable
from dataclasses import replace

from fedlora.client.adopting import offered, settle
from fedlora.client.desk import Desk
from fedlora.client.protecting import vector_of
from fedlora.client.trial import local_methods, score
from fedlora.client.vouching import attempt, vouch
from fedlora.client.workplace import Workplace
from fedlora.config import AdoptionConfig, RunConfig
from fedlora.errors import FedloraError
from fedlora.evaluation.backdoor import backdoor_of, success
from fedlora.spans import span
from fedlora.wire.message import JSON, Message


@span("evaluation")
def describe(place: Workplace, _message: Message) -> Message:
    """Say what the task is like: its vector, and a few counts."""
    desk = place.desk
    vector = vector_of(place.config, desk.objective, desk.train, place.purpose("describe"))
    meta: dict[str, JSON] = {
        "task": desk.seat.task,
        "role": desk.seat.role,
        "examples": desk.examples,
        # How long texts are tells of single ones.
        "work": _work(desk) if place.config.privacy is None else float(desk.examples),
        "metric": desk.objective.metric,
        "spec": place.spec().to_json(),
        # A trained head means something only beside the labels of its rows.
        "labels": list(desk.objective.label_names) if desk.objective.head() else [],
    }
    return Message("task_vector", {"vector": vector}, meta)


def _work(desk: Desk) -> float:
    """What an epoch takes beside other clients' of the run: tokens of texts, or images."""
    mask = desk.train.get("attention_mask")
    return float(desk.examples if mask is None else mask.sum())


def adopt(place: Workplace, message: Message) -> Message:
    """Settle on an adapter out of what was offered, refine it if the run says so, and use it."""
    desk, adoption = place.desk, _adoption(place.config, message)
    offer = offered(place, adoption.policy.build(), message)
    used, refined = settle(place, adoption, offer)
    meta: dict[str, JSON] = {
        "task": desk.seat.task,
        "value": score(desk.objective, used, desk.test),
        "refined": refined,
    }
    given = place.write({"refined": used}) if adoption.contribute else {}
    return Message("adapter" if adoption.contribute else "evaluation", given, meta)


def _adoption(config: RunConfig, message: Message) -> AdoptionConfig:
    """The run's own way to adopt, or the one of those that are tried that the message names."""
    number = message.meta.get("adoption")
    if number is None:
        return config.adoption
    tried = config.evaluation.adoptions
    if not isinstance(number, int) or not 0 <= number < len(tried):
        raise FedloraError(f"message asks for adoption {number!a:.40}, which the run has not")
    return tried[number]


def evaluate(place: Workplace, message: Message) -> Message:
    """Score every candidate and every local method on the test split."""
    names = [name.removeprefix("adapter.") for name in message.tensors]
    candidates = {name: place.read(message, name) for name in names}
    desk = replace(place.desk, train=place.shard(), test=place.test())
    values: dict[str, JSON] = {
        name: score(desk.objective, adapter, desk.test) for name, adapter in candidates.items()
    }
    seeds = place.seed, place.purpose("evaluate")
    values |= local_methods(place.config, desk, candidates, place.trainer, *seeds)
    meta: dict[str, JSON] = {
        "task": desk.seat.task,
        "values": values,
        "metric": desk.objective.metric,
    }
    if (backdoor := backdoor_of(place.config)) is not None:
        meta["fooled"] = {
            name: success(desk.objective, adapter, desk.test, backdoor)
            for name, adapter in candidates.items()
        }
    return Message("evaluation", {}, meta)


ACTIONS: dict[str, Callable[[Workplace, Message], Message]] = {
    "describe": describe,
    "adopt": adopt,
    "evaluate": evaluate,
    "vouch": vouch,
    "try": attempt,
}
