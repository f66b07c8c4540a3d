"""What a task is: examples of one kind, split once, held by clients."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from fedlora import registry
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.image_files import ImageFiles

Kind = Literal[
    "image-classification",
    "text-classification",
    "multiple-choice",
    "language-modelling",
    "object-detection",
]
Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Examples:
    """Columns of equal length n.

    inputs: (n, channels, height, width) float32 images in [0, 1], n files of such images, or n
        strings (the text, the question, or the passage).
    labels: (n,) int64 indices into the task's label names; for multiple choice, into `choices`;
        None for language modelling and detection.
    choices: for multiple choice, the n lists of answers; else None.
    suffixes: for object detection, what is in each image, as `detection.locations` writes it;
        else None.
    """

    inputs: np.ndarray | ImageFiles | Sequence[str]
    labels: np.ndarray | None = None
    choices: Sequence[Sequence[str]] | None = None
    suffixes: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def texts(self) -> list[str]:
        """The inputs of a kind of task that reads."""
        assert not isinstance(self.inputs, ImageFiles)
        return [str(text) for text in self.inputs]

    def take(self, index: np.ndarray) -> "Examples":
        """The rows named by an integer index, in its order."""
        return Examples(
            inputs=_rows(self.inputs, index),
            labels=None if self.labels is None else self.labels[index],
            choices=None if self.choices is None else _rows(self.choices, index),
            suffixes=None if self.suffixes is None else _rows(self.suffixes, index),
        )


@dataclass(frozen=True)
class Table:
    """All that a source holds, before it is cut into tasks.

    groups: columns of n strings by which a family may cut (department, author, subject).
    test: (n,) bool, the rows of the source's own test split, or None when it has none.
    """

    kind: Kind
    examples: Examples
    label_names: tuple[str, ...] = ()
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    test: np.ndarray | None = None

    def group(self, column: str, key: str, source: str) -> np.ndarray:
        """A column of n strings, by the name that a configuration gives it.

        key: where it stands there. source: what to call the source that this is a table of.

        Raises:
            FedloraError: there is no such column.
        """
        if column not in self.groups:
            known = sorted(self.groups)
            hint = registry.nearest(column, known) if known else "it has none"
            raise FedloraError(f"{key}: source '{source}' has no column '{column}'; {hint}")
        return self.groups[column]


@dataclass(frozen=True)
class Task:
    """One task: its splits are disjoint, and the test split never trains."""

    name: str
    kind: Kind
    label_names: tuple[str, ...]
    splits: Mapping[Split, Examples]


class Source(ABC):
    """Where raw examples come from; one file a source in `tasks/sources/`."""

    Config: ClassVar[type[Section]]

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def load(self) -> Table:
        """Read everything.

        Raises:
            FedloraError: the data is missing (the message names the remedy) or malformed.
        """


@dataclass(frozen=True)
class TaskNames:
    """The tasks of a family: those that fill the bank, and those kept for newcomers."""

    bank: tuple[str, ...]
    held_out: tuple[str, ...]


class TaskFamily(ABC):
    """How many related tasks are made from sources; one file a family in `tasks/`.

    from_rows: whether the names follow from a source's rows. A server, which reads none, asks a
        client for them then.
    """

    Config: ClassVar[type[Section]]
    from_rows: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def names(self) -> TaskNames:
        """The tasks' names, the same on every machine."""

    @abstractmethod
    def load(self, name: str) -> Task:
        """One task by its name.

        Raises:
            FedloraError: no such task, or too few examples for three splits.
        """


def _rows(column: Any, index: np.ndarray) -> Any:
    if isinstance(column, np.ndarray):
        return column[index]
    if isinstance(column, ImageFiles):
        return column.take(index)
    return [column[i] for i in index]


def check_splits(task: Task, remedy: str) -> None:
    """Refuse an empty split, which would train nothing or judge nothing."""
    count = sum(map(len, task.splits.values()))
    for split, examples in task.splits.items():
        if len(examples) == 0:
            raise FedloraError(
                f"task '{task.name}': its {count} examples leave the {split} split empty; {remedy}"
            )
