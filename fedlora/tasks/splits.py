"""How a task's rows become its train, validation and test splits."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import PositiveInt

from fedlora import seeding
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Split, Table, Task, check_splits
from fedlora.tasks.image_files import ImageFiles

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.2


class Splits(Section):
    """The most examples a split of one task may have; a smaller task gives what it has."""

    train: PositiveInt = 400
    validation: PositiveInt = 100
    test: PositiveInt = 500


def test_mask(table: Table, seed: int) -> np.ndarray:
    """(n,) bool: the source's own test rows, or a fifth of all, and every copy of them.

    One mask for the whole family: what tests one task never trains another.
    """
    count = len(table.examples)
    mask = table.test
    if mask is None:
        rng = np.random.default_rng(seeding.derive(seed, "test rows"))
        mask = np.zeros(count, dtype=bool)
        mask[rng.permutation(count)[: round(TEST_SHARE * count)]] = True
    contents = _contents(table.examples.inputs)
    judged = {content for content, test in zip(contents, mask, strict=True) if test}
    return np.array([content in judged for content in contents])


def _contents(inputs: np.ndarray | ImageFiles | Sequence[str]) -> list[str] | list[bytes]:
    """What is the same for two inputs that are copies, and for no others."""
    if isinstance(inputs, ImageFiles):
        return inputs.digests()
    if isinstance(inputs, np.ndarray):
        return [hashlib.blake2b(row.tobytes()).digest() for row in inputs]
    return list(inputs)


def split_rows(
    rows: np.ndarray, test: np.ndarray, sizes: Splits, seed: int, task: str
) -> dict[Split, np.ndarray]:
    """Disjoint row numbers of the three splits of one task.

    Args:
        rows: (m,) int64, all rows of the task.
        test: (n,) bool, from `test_mask`; n is the size of the table.
        sizes: upper bounds; validation takes at most a fifth of the rows that are not test rows.
        seed: of the run's tasks.
        task: its name; seed and name alone decide which rows are drawn.
    """
    rng = np.random.default_rng(seeding.derive(seed, "splits", task))
    shuffled = rng.permutation(rows)
    learn, judge = shuffled[~test[shuffled]], shuffled[test[shuffled]]
    held = min(sizes.validation, int(VALIDATION_SHARE * len(learn)))
    return {
        "train": learn[held : held + sizes.train],
        "validation": learn[:held],
        "test": judge[: sizes.test],
    }


def make_task(
    name: str,
    table: Table,
    splits: Mapping[Split, Examples],
    label_names: tuple[str, ...],
    remedy: str = "give it more",
) -> Task:
    """A task of the table's kind.

    remedy: what a user can do about a split without examples.

    Raises:
        FedloraError: a split is empty.
    """
    task = Task(name=name, kind=table.kind, label_names=label_names, splits=splits)
    check_splits(task, remedy)
    return task
