"""Trying adapters on examples of one's own, before they count or serve."""

from collections.abc import Sequence
from dataclasses import replace

from fedlora.adoption.chosen import MIX
from fedlora.adoption.label_mix import of_the_bank
from fedlora.client.adopting import offered
from fedlora.client.few_labels import FewLabels
from fedlora.client.trial import score
from fedlora.client.workplace import Workplace
from fedlora.errors import FedloraError
from fedlora.finetune.local import fresh, put
from fedlora.spans import span
from fedlora.wire.message import JSON, Message


def vouch(place: Workplace, message: Message) -> Message:
    """Say what others' adapters reach on the client's own validation examples; as `attempt`.

    Raises:
        FedloraError: the run asks no client for that.
    """
    if not place.config.screening.peers:
        raise FedloraError("message asks to try adapters; screening.peers is 0 in this run")
    return _said(place, _scores(place, message, _names(message)))


def attempt(place: Workplace, message: Message) -> Message:
    """Say what is worth how much of what generators make for the client's own task.

    Where the message says how far the bank's nearest tasks lie, what it holds of them is mixed by
    labels, as a newcomer would, and the mix is tried.

    Raises:
        FedloraError: the run holds no trial, or no mix is tried in it.
    """
    if not place.config.tried:
        raise FedloraError("message asks to try adapters; the run's adoption holds no trial")
    named = [name for name in _names(message) if not of_the_bank(name)]
    values = _scores(place, message, named)
    way, policy = place.config.adoption_tried, place.config.trial
    if "distances" not in message.meta:
        return _said(place, values)
    if way is None or policy.mix is None:
        raise FedloraError("message asks to mix adapters; the run's trial mixes none")
    parts = {
        f"adapter.{name}": message.tensors[f"adapter.{name}"]
        for name in _names(message)
        if of_the_bank(name) or name in policy.mix.methods
    }
    offer = offered(place, policy.mix, replace(message, tensors=parts))
    mixed = policy.mix.choose(offer, FewLabels(place, way))
    values[MIX] = score(place.desk.objective, mixed, place.desk.validation)
    return _said(place, values)


def _said(place: Workplace, values: dict[str, JSON]) -> Message:
    return Message("control", {}, {"task": place.desk.seat.task, "values": values})


def _names(message: Message) -> list[str]:
    return [name.removeprefix("adapter.") for name in message.tensors]


@span("evaluation")
def _scores(place: Workplace, message: Message, names: Sequence[str]) -> dict[str, JSON]:
    """Scores of adapters of a message, and of the base model."""
    desk = place.desk
    put(desk.objective, fresh(desk.objective, place.seed))  # `up` is zero: the base model
    values: dict[str, JSON] = {"base": desk.objective.score(desk.validation)}
    for name in names:
        values[name] = score(desk.objective, place.read(message, name), desk.validation)
    return values
