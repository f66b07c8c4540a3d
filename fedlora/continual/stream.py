"""A stream of tasks as a model works with it: every split encoded, no class in two tasks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fedlora import seeding
from fedlora.backbone import AdapterSlot
from fedlora.errors import FedloraError
from fedlora.finetune.objectives import Rows, objective_for
from fedlora.finetune.objectives.contract import take
from fedlora.finetune.objectives.linear_head import LinearHeadObjective
from fedlora.tasks.contract import Kind, TaskFamily


@dataclass(frozen=True, eq=False)
class StreamTask:
    """One task of a stream; labels are indices into its own classes.

    max_length: tokens a text is cut to.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...]
    max_length: int
    objective: LinearHeadObjective
    train: Rows
    validation: Rows
    test: Rows


def encode_stream(family: TaskFamily, slot: AdapterSlot, max_length: int) -> list[StreamTask]:
    """Every task of a family in its order, those held out for newcomers left out.

    Raises:
        FedloraError: a single task, tasks that share a class, or tasks that are not
            classification.
    """
    names = family.names().bank
    if len(names) < 2:
        raise FedloraError(f"tasks: a stream of {len(names)} task; give it two or more")
    tasks: list[StreamTask] = []
    owner: dict[str, str] = {}
    for name in names:
        task = family.load(name)
        for label in task.label_names:
            if label in owner:
                raise FedloraError(
                    f"tasks: '{owner[label]}' and '{name}' share the class '{label}';"
                    " the classes of a stream belong to one task each"
                )
            owner[label] = name
        objective = classifier(slot, task.kind, task.label_names, max_length)
        splits = [objective.encode(task.splits[s]) for s in ("train", "validation", "test")]
        tasks.append(StreamTask(name, task.kind, task.label_names, max_length, objective, *splits))
    return tasks


def classifier(
    slot: AdapterSlot, kind: Kind, classes: tuple[str, ...], max_length: int
) -> LinearHeadObjective:
    """The objective of telling some classes apart by a trained head.

    Raises:
        FedloraError: tasks of this kind have no classes.
    """
    objective = objective_for(slot, kind, classes, kind.endswith("classification"), max_length)
    if not isinstance(objective, LinearHeadObjective):
        raise FedloraError(f"tasks: a stream is of classification tasks, not of {kind}")
    return objective


def size(rows: Rows) -> int:
    """Number of rows."""
    return len(rows["labels"])


def feature_width(task: StreamTask) -> int:
    """Values of the features that heads see."""
    return int(task.objective.weight.shape[1])


def recalled_rows(
    tasks: Sequence[StreamTask],
    rows: Sequence[Rows],
    current: str,
    per_class: int | None,
    seed: int,
) -> tuple[LinearHeadObjective, Rows]:
    """What a step trains on: a task's rows, or with those recalled of the tasks before it.

    Args:
        tasks: whose classes are told apart, in the order of the stream.
        rows: of each, as far as the client holds them.
        current: the name of the task that is new, of which all rows are taken.
        per_class: rows of each class of the others; None for all.
        seed: of the draw, the same at every step.
    """
    if len(tasks) == 1:
        return tasks[0].objective, rows[0]
    parts, classes = [], list[str]()
    for task, own in zip(tasks, rows, strict=True):
        count = None if task.name == current else per_class
        kept = remembered(own, count, seeding.derive(seed, "recalled", task.name))
        parts.append(kept | {"labels": kept["labels"] + len(classes)})
        classes += task.classes
    first = tasks[0]
    whole = classifier(first.objective.slot, first.kind, tuple(classes), first.max_length)
    return whole, stacked(parts)


def stacked(parts: Sequence[Rows]) -> Rows:
    """Rows of several tasks below each other; shorter texts are padded, with a mask of 0."""
    return {name: _padded([part[name] for part in parts]) for name in parts[0]}


def remembered(rows: Rows, per_class: int | None, seed: int) -> Rows:
    """`per_class` rows of each label, drawn by the seed; all of them for None."""
    if per_class is None:
        return rows
    labels = rows["labels"]
    order = torch.randperm(len(labels), generator=seeding.generator(seed, "remembered"))
    chosen = [order[labels[order] == label][:per_class] for label in labels.unique()]
    index = torch.cat(chosen) if chosen else order
    return take(rows, index.sort().values)


def _padded(columns: Sequence[Tensor]) -> Tensor:
    if columns[0].ndim != 2:
        return torch.cat(list(columns))
    longest = max(column.shape[1] for column in columns)
    return torch.cat([functional.pad(c, (0, longest - c.shape[1])) for c in columns])
