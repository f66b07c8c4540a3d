"""First of all: what the stream is, as its clients agree on it."""

from typing import Any

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec
from fedlora.adapter.place import check_place
from fedlora.errors import FedloraError
from fedlora.server.stream.context import Plan, StreamContext
from fedlora.server.weighing import MOST_EXAMPLES
from fedlora.wire.message import Message

MOST_TASKS = 1000
MOST_CLASSES = 100_000
MOST_WIDTH = 1 << 16


def describe(context: StreamContext) -> Plan:
    """Ask every client what the stream is; a client that contradicts the first is lost.

    Raises:
        FedloraError: too few clients answer, or a task has no examples anywhere.
    """
    first: list[tuple[Any, ...]] = []

    def check(_: int, answer: Message) -> None:
        said = _read(context, answer)
        if first and said != first[0]:
            raise FedloraError("describes another stream than the first client")
        first.append(said)

    message = context.message("control", "describe", None)
    answers = context.asker.ask("describe", 0, dict.fromkeys(context.clients, message), check)
    found = {client: answers[client] for client in answers}
    tasks, classes, width = _read(context, next(iter(found.values())))
    examples = {client: tuple(_counts(answer, len(tasks))) for client, answer in found.items()}
    for number, name in enumerate(tasks):
        if not any(counts[number] for counts in examples.values()):
            raise FedloraError(f"no client that answered has examples of the task '{name}'")
    vectors = tuple(_mean(found, examples, number, width) for number in range(len(tasks)))
    return Plan(tasks, classes, examples, width, vectors)


def _read(
    context: StreamContext, answer: Message
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], int]:
    """Tasks, classes and feature width of an answer from anybody."""
    check_place(AdapterSpec.from_json(str(answer.meta.get("spec"))), context.spec)
    tasks, classes, width = (answer.meta.get(key) for key in ("tasks", "classes", "width"))
    if not isinstance(tasks, list) or not isinstance(classes, list):
        raise FedloraError("answer without the tasks and classes of its stream")
    if not 2 <= len(tasks) <= MOST_TASKS or len(classes) != len(tasks):
        raise FedloraError(f"answer with a stream of {len(tasks)} tasks")
    if not isinstance(width, int) or not 1 <= width <= MOST_WIDTH:
        raise FedloraError("answer with an unbelievable width of features")
    labels = [label for names in classes if isinstance(names, list) for label in names]
    if not all(isinstance(name, str) for name in (*tasks, *labels)):
        raise FedloraError("answer with a name that is not text")
    if not len(tasks) <= len(labels) == len(set(labels)) <= MOST_CLASSES:
        raise FedloraError("answer with tasks that share a class, or have none")
    _counts(answer, len(tasks))
    return tuple(map(str, tasks)), tuple(tuple(map(str, names)) for names in classes), width


def _counts(answer: Message, tasks: int) -> list[int]:
    counts = answer.meta.get("examples")
    if (
        not isinstance(counts, list)
        or len(counts) != tasks
        or not all(type(n) is int and 0 <= n <= MOST_EXAMPLES for n in counts)
    ):
        raise FedloraError("answer with an unbelievable number of examples")
    return counts


def _mean(
    answers: dict[int, Message], examples: dict[int, tuple[int, ...]], number: int, width: int
) -> Tensor:
    """A task's mean feature over clients, weighted by their examples."""
    total, count = torch.zeros(width, dtype=torch.float64), 0
    for client, answer in answers.items():
        vector, weight = answer.tensors.get(f"vector.{number}"), examples[client][number]
        if weight and vector is not None and vector.shape == (width,):
            total += weight * vector.double()
            count += weight
    return (total / max(count, 1)).float()
