"""What a client of a stream can be asked to do, one function an action."""

from collections.abc import Callable
from dataclasses import asdict

from torch import Tensor

from fedlora.client.stream.desk import StreamDesk
from fedlora.client.tuition import integer
from fedlora.continual import heads as head_tensors
from fedlora.continual.inputs import widths
from fedlora.continual.noise import noise_scale, noisy
from fedlora.continual.sketch import sketch
from fedlora.continual.statistics import Statistics, pack
from fedlora.continual.stream import recalled_rows, size
from fedlora.continual.study import Split, features_of, judge, nearest_mean, study, survey
from fedlora.errors import FedloraError
from fedlora.privacy.chance import chance_of, repeats
from fedlora.wire.message import JSON, Message

SURVEYS_A_TASK = 2
"""Before a task is trained and after."""


def describe(desk: StreamDesk, _: Message) -> Message:
    """Say what the stream is like: its tasks, how much of each is here, and where it lies.

    Mean features, which nothing protects, stay here where statistics are to be protected.
    """
    tasks = desk.holdings.tasks
    rows = [desk.holdings.train(desk.client, task) for task in range(len(tasks))]
    vectors = {
        f"vector.{number}": features_of(task.objective, own, None).mean(0)
        for number, (task, own) in enumerate(zip(tasks, rows, strict=True))
        if size(own) and desk.continual.noise is None
    }
    meta: dict[str, JSON] = {
        "tasks": [task.name for task in tasks],
        "classes": [list(task.classes) for task in tasks],
        "examples": [size(own) for own in rows],
        "width": desk.width,
        "spec": desk.slot.spec.to_json(),
    }
    return Message("task_vector", vectors, meta)


def look(desk: StreamDesk, message: Message) -> Message:
    """Send the statistics of a task's examples that are asked for, as the config protects them."""
    number = desk.task(message)
    task, frozen = desk.holdings.tasks[number], desk.frozen(message)
    rows = _some(desk, number)
    noise = desk.continual.noise
    inputs, features, transfer = (_flag(message, key) for key in ("inputs", "features", "transfer"))
    if features and noise is not None:
        raise FedloraError("message asks for features of classes, which noise does not cover")
    tensors: dict[str, Tensor] = {}
    meta: dict[str, JSON] = {"task": number, "examples": size(rows)}
    if inputs or features:
        found = survey(task, rows, frozen, noise.clip if noise else None)
    if inputs:
        meta["counts"] = [moments.count for moments in found.moments.values()]
        lost = []
        for place, (name, moments) in enumerate(found.moments.items()):
            sent = _protected(desk, moments, f"{message.meta.get('step')}/{name}")
            tensors[f"inputs.{place}"], share = _packed(desk, sent)
            lost.append(share)
        meta["lost"] = max(lost)
    if features:
        meta["class_counts"] = [one.count for one in found.classes]
        tensors |= {f"class.{label}": pack(one) for label, one in enumerate(found.classes)}
    if transfer:
        judged = desk.holdings.judged(desk.client, number, "test")
        right = [nearest_mean(task.objective, rows, judged, f) for f in (frozen, None)]
        meta["transfer"] = [*right, size(judged)] if size(judged) else [0, 0, 0]
    return Message("statistics", tensors, meta)


def learn(desk: StreamDesk, message: Message) -> Message:
    """Train a step's branch and heads on the client's own rows."""
    number, covered = desk.task(message), desk.covered(message)
    holdings = desk.holdings
    _some(desk, number)
    objective, rows = recalled_rows(
        [holdings.tasks[task] for task in covered],
        [holdings.train(desk.client, task) for task in covered],
        holdings.tasks[number].name,
        desk.method.recalled(),
        desk.seed,
    )
    start = desk.start(message, covered)
    step, round = integer(message, "step"), integer(message, "round")
    seed = desk.purpose("study", step, round)
    settings = desk.config.finetune
    trained = study(desk.method, objective, start, desk.frozen(message), rows, settings, seed)
    meta: dict[str, JSON] = {
        "task": number,
        "examples": size(rows),
        "curve": trained.curve,
        "loss": trained.curve[-1],
    }
    adapter = desk.codec.encode(trained.adapters[-1])
    return Message("train", {"adapter.trained": adapter}, meta)


def assess(desk: StreamDesk, message: Message) -> Message:
    """Count right answers on the client's part of every task met, of both splits for judging."""
    tasks, frozen = desk.holdings.tasks, desk.frozen(message)
    heads = head_tensors.read(message.tensors, [len(task.classes) for task in tasks], desk.width)
    meta: dict[str, JSON] = {}
    for name in ("test", "validation"):
        rows: Split = {
            number: (tasks[number].objective, desk.holdings.judged(desk.client, number, name))
            for number in heads
        }
        scores = judge(rows, heads, frozen)
        meta[name] = {str(number): asdict(score) for number, score in scores.items()}
    return Message("evaluation", {}, meta)


ACTIONS: dict[str, Callable[[StreamDesk, Message], Message]] = {
    "describe": describe,
    "look": look,
    "learn": learn,
    "assess": assess,
}


def _some(desk: StreamDesk, number: int) -> dict[str, Tensor]:
    rows = desk.holdings.train(desk.client, number)
    if size(rows) == 0:
        raise FedloraError(f"no examples of '{desk.holdings.tasks[number].name}' here")
    return rows


def _packed(desk: StreamDesk, moments: Statistics) -> tuple[Tensor, float]:
    """Statistics as they travel, and the share of their trace that a sketch loses."""
    rank = desk.continual.sketch
    return (pack(moments), 0.0) if rank is None else sketch(moments, rank)


def _flag(message: Message, key: str) -> bool:
    value = message.meta.get(key)
    if not isinstance(value, bool):
        raise FedloraError(f"message lacks the word '{key}', yes or no")
    return value


def _protected(desk: StreamDesk, moments: Statistics, what: str) -> Statistics:
    """With noise, where the config asks for it."""
    noise = desk.continual.noise
    if noise is None:
        return moments
    releases = SURVEYS_A_TASK * len(widths(desk.slot.spec))
    chance = chance_of(desk.purpose("noise", what), repeats(desk.config))
    return noisy(moments, noise_scale(noise, releases), chance)
