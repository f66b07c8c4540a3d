"""Phase one, and a newcomer's first word: every client says what its task is like."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec
from fedlora.adapter.place import check_place
from fedlora.errors import FedloraError
from fedlora.roster import Seat
from fedlora.server.asking import number
from fedlora.server.context import Profile, ServerContext
from fedlora.wire.message import Message

# No honest description is larger: values of a task vector, and of a head beside the adapter's.
MOST_VALUES = 1 << 20
METRICS = ("accuracy", "nll", "map")
MOST_WORK = 1e9


@dataclass(frozen=True)
class Described:
    """A client that said what its task is like; `said` holds its answer."""

    seat: Seat
    said: Mapping[int, Message]

    @property
    def vector(self) -> Tensor:
        """(c,) float32, the task vector."""
        return self.said[self.seat.client].tensors["vector"]


def describe(context: ServerContext, phase: str, seats: Sequence[Seat]) -> list[Described]:
    """Ask the clients at these seats; those that answered well and fit together.

    The head of every adapter, the metric and the size of a task vector are those that most
    clients report (of equals, those of the lowest client), whatever the order of answers; a
    client that differs is lost.
    """

    def check(client: int, answer: Message) -> None:
        context.check_task(client, answer)
        _profile(context.spec, answer)
        number(answer, "work")

    message = context.message("control", "describe")
    answers = context.asker.ask(phase, 0, {seat.client: message for seat in seats}, check)
    profiles: dict[int, Profile] = {}
    alike: dict[Profile, Profile] = {}
    for client, answer in answers.items():
        profile = _profile(context.spec, answer)
        profiles[client] = alike.setdefault(profile, profile)
        context.asker.work[client] = min(max(number(answer, "work"), 1.0), MOST_WORK)
    if context.profile is None:
        context.settle(Counter(profiles.values()).most_common(1)[0][0])
    described = []
    for client, profile in profiles.items():
        if profile == context.profile:
            described.append(Described(context.seats[client], answers))
        else:
            reason = "another head, labels, metric or size of task vector than most clients"
            context.asker.refuse(phase, 0, client, reason)
    return described


def _profile(spec: AdapterSpec, answer: Message) -> Profile:
    """What an answer says of itself.

    Raises:
        FedloraError: it is incomplete, of another base model, or larger than any honest one.
    """
    theirs = AdapterSpec.from_json(str(answer.meta.get("spec")))
    check_place(replace(theirs, head=()), replace(spec, head=()))
    vector = answer.tensors.get("vector")
    if vector is None or vector.ndim != 1 or vector.dtype != torch.float32:
        raise FedloraError("answer lacks a task vector (c,) of float32")
    if not 1 <= len(vector) <= MOST_VALUES or theirs.head_size > MOST_VALUES:
        raise FedloraError(f"task vector or head of more than {MOST_VALUES} values")
    metric, labels = answer.meta.get("metric"), answer.meta.get("labels")
    if metric not in METRICS or not isinstance(labels, list):
        raise FedloraError("answer lacks its metric or labels")
    return Profile(theirs.head, tuple(map(str, labels)), str(metric), len(vector))
