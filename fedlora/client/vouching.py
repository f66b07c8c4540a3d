"""Trying what other clients have made, before it counts."""

from fedlora.client.trial import score
from fedlora.client.workplace import Workplace
from fedlora.errors import FedloraError
from fedlora.finetune.local import fresh, put
from fedlora.spans import span
from fedlora.wire.message import JSON, Message


@span("evaluation")
def vouch(place: Workplace, message: Message) -> Message:
    """Say what adapters, and the base model, reach on the client's own validation examples.

    Raises:
        FedloraError: the run asks no client for that.
    """
    if not place.config.screening.peers:
        raise FedloraError("message asks to try adapters; screening.peers is 0 in this run")
    desk = place.desk
    put(desk.objective, fresh(desk.objective, place.seed))  # `up` is zero: the base model
    values: dict[str, JSON] = {"base": desk.objective.score(desk.validation)}
    for name in message.tensors:
        own = name.removeprefix("adapter.")
        values[own] = score(desk.objective, place.read(message, own), desk.validation)
    return Message("control", {}, {"task": desk.seat.task, "values": values})
