"""Trying adapters on examples of one's own, before they count or serve."""

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
    return _scores(place, message)


def attempt(place: Workplace, message: Message) -> Message:
    """Say what is worth how much of what generators make for the client's own task.

    Raises:
        FedloraError: the run holds no trial.
    """
    if not place.config.tried:
        raise FedloraError("message asks to try adapters; the run's adoption holds no trial")
    return _scores(place, message)


@span("evaluation")
def _scores(place: Workplace, message: Message) -> Message:
    """Scores of every adapter of a message, and of the base model."""
    desk = place.desk
    put(desk.objective, fresh(desk.objective, place.seed))  # `up` is zero: the base model
    values: dict[str, JSON] = {"base": desk.objective.score(desk.validation)}
    for name in message.tensors:
        own = name.removeprefix("adapter.")
        values[own] = score(desk.objective, place.read(message, own), desk.validation)
    return Message("control", {}, {"task": desk.seat.task, "values": values})
