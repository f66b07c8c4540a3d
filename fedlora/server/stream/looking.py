"""Statistics: asked of the clients at work, summed, and how much of them was lost on the way."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.continual.contract import Moments
from fedlora.continual.inputs import widths
from fedlora.continual.keeper import Keeper
from fedlora.continual.noise import possible
from fedlora.continual.sketch import unsketch
from fedlora.continual.statistics import Statistics, nothing, summed, unpack
from fedlora.errors import FedloraError
from fedlora.server.asking import Answers
from fedlora.server.stream.context import StreamContext
from fedlora.wire.message import JSON, Message

MOST_TOKENS = 10**15


@dataclass(frozen=True)
class Found:
    """What the clients at work on a step sent, added up.

    moments: of each input; classes: of each task's classes; empty where they were not asked for.
    lost: the largest share of a trace that a sketch left out.
    transfer: accuracy of nearest class means on tasks about to be learned, now and by the base
        model; None where no client had rows to judge on.
    """

    moments: Moments
    classes: Mapping[int, list[Statistics]]
    lost: float
    transfer: tuple[float, float] | None


def look(
    context: StreamContext,
    keeper: Keeper,
    number: int,
    workers: Mapping[int, int],
    frozen: LoraAdapter | None,
    *,
    inputs: bool,
    features: bool,
    before: bool,
) -> Found:
    """Ask the clients at work on a step for the statistics of their tasks.

    Args:
        context: of the run.
        keeper: knows how many classes a task has.
        number: of the step.
        workers: client -> task.
        frozen: the branches that the model has then.
        inputs: whether those of the layers' inputs are wanted.
        features: whether those of each class's features are.
        before: the step's training, when they say what it starts from.

    Raises:
        FedloraError: too few clients answer.
    """
    phase = "look" if before else "look_again"
    common: dict[str, JSON] = {"inputs": inputs, "features": features, "transfer": before}
    by_task = {
        task: context.message(
            "statistics", "look", frozen, None, task=task, step=f"{phase}/{number}", **common
        )
        for task in set(workers.values())
    }
    messages = {client: by_task[task] for client, task in workers.items()}

    def check(client: int, answer: Message) -> None:
        if inputs:
            _moments(context, answer)
        if features:
            _classes(keeper, answer, workers[client])
        _transfer(answer)

    answers = context.asker.ask(phase, number + 1, messages, check)
    return Found(
        moments=_sum_moments(context, answers) if inputs else {},
        classes=_sum_classes(keeper, answers, workers) if features else {},
        lost=max(_share(answers[client]) for client in answers),
        transfer=_rates([_transfer(answers[client]) for client in answers]),
    )


def _sum_moments(context: StreamContext, answers: Answers) -> dict[str, Statistics]:
    """One answer at a time: memory does not grow with the number of clients."""
    sums = {name: nothing(width) for name, width in widths(context.spec).items()}
    for client in answers:
        for name, part in _moments(context, answers[client]).items():
            sums[name] = summed([sums[name], part])
    if context.continual.noise is not None:
        return {name: possible(found) for name, found in sums.items()}
    return sums


def _sum_classes(
    keeper: Keeper, answers: Answers, workers: Mapping[int, int]
) -> dict[int, list[Statistics]]:
    sums: dict[int, list[Statistics]] = {}
    for client in answers:
        task = workers[client]
        parts = _classes(keeper, answers[client], task)
        known = sums.get(task)
        sums[task] = [summed(p) for p in zip(known, parts, strict=True)] if known else parts
    return sums


def _moments(context: StreamContext, answer: Message) -> dict[str, Statistics]:
    """Statistics of each input in an answer from anybody."""
    places = widths(context.spec)
    counts = _integers(answer, "counts", len(places))
    found = {}
    for place, ((name, width), count) in enumerate(zip(places.items(), counts, strict=True)):
        values = _tensor(answer, f"inputs.{place}")
        sketched = context.continual.sketch is not None
        found[name] = unsketch(values, width, count) if sketched else unpack(values, width, count)
    return found


def _classes(keeper: Keeper, answer: Message, task: int) -> list[Statistics]:
    counts = _integers(answer, "class_counts", keeper.classes[task])
    return [
        unpack(_tensor(answer, f"class.{label}"), keeper.width + 1, count)
        for label, count in enumerate(counts)
    ]


def _tensor(answer: Message, name: str) -> Tensor:
    if name not in answer.tensors:
        raise FedloraError(f"answer lacks the statistics '{name}'")
    return answer.tensors[name]


def _integers(answer: Message, key: str, count: int) -> list[int]:
    values = answer.meta.get(key)
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(type(n) is int and 0 <= n <= MOST_TOKENS for n in values)
    ):
        raise FedloraError(f"answer without {count} believable '{key}'")
    return values


def _share(answer: Message) -> float:
    value = answer.meta.get("lost", 0.0)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else 0.0


def _transfer(answer: Message) -> list[int]:
    if "transfer" not in answer.meta:
        return [0, 0, 0]
    now, base, rows = _integers(answer, "transfer", 3)
    if max(now, base) > rows:
        raise FedloraError("answer that is right more often than it was asked")
    return [now, base, rows]


def _rates(counts: list[list[int]]) -> tuple[float, float] | None:
    now, base, rows = (sum(column) for column in zip(*counts, strict=True))
    return (now / rows, base / rows) if rows else None
