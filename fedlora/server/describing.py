"""Phase one, and a newcomer's first word: every client says what its task is like."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from fedlora.adapter import AdapterSpec
from fedlora.errors import FedloraError
from fedlora.roster import Seat
from fedlora.server.context import ServerContext
from fedlora.server.screening import check_place
from fedlora.wire.message import Message


@dataclass(frozen=True)
class Described:
    """A client that said what its task is like.

    vector: (c,) float32, the task vector.
    metric: what its task is judged by.
    """

    seat: Seat
    vector: Tensor
    metric: str


def describe(context: ServerContext, phase: str, seats: Sequence[Seat]) -> list[Described]:
    """Ask the clients at these seats; those that answered well.

    The first answer settles the head of every adapter and the size of a task vector; a client
    that differs is lost.
    """
    message = context.message("control", "describe")
    size: list[int] = []

    def check(client: int, answer: Message) -> None:
        context.check_task(client, answer)
        context.spec = _settle(context.spec, AdapterSpec.from_json(str(answer.meta.get("spec"))))
        vector = answer.tensors.get("vector")
        if vector is None or vector.ndim != 1 or len(vector) == 0:
            raise FedloraError("answer lacks the task vector")
        if len(vector) != (size or [len(vector)])[0]:
            raise FedloraError(f"task vector of {len(vector)} values, not {size[0]}")
        size[:] = [len(vector)]

    asked = {seat.client: message for seat in seats}
    answers = context.asker.ask(phase, 0, asked, check)
    for client, answer in answers.items():  # those that a resumed run already had
        check(client, answer)
    return [
        Described(context.seats[client], answer.tensors["vector"], str(answer.meta["metric"]))
        for client, answer in answers.items()
    ]


def _settle(spec: AdapterSpec, theirs: AdapterSpec) -> AdapterSpec:
    """The server's spec, with the clients' head where it knows of none yet."""
    if spec.head:
        check_place(theirs, spec)
        return spec
    check_place(replace(theirs, head=()), spec)
    return theirs
