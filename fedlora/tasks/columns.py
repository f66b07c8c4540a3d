"""From rows with named columns to a table: what `files` and `hub` have in common."""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np

from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Kind, Table
from fedlora.tasks.labels import label_indices
from fedlora.tasks.records import Row, column_of


class Columns(Section):
    """The names of the columns, and what their values mean.

    kind: null infers it: choices make multiple choice, labels a classification, and text alone
        language modelling.
    text, label, choices: column names. Multiple choice has a list of answers in `choices`, or
        {"text": answers, "label": their letters} as the data sets of ARC and others do, and in
        `label` the right one's text, its index or its letter.
    labels: the label set in order; null takes the values that occur.
    groups: columns by which a family may cut.
    split: a column whose value "test" marks the rows that never train; null when there is none.
    """

    kind: Kind | None = None
    text: str = "text"
    label: str = "label"
    choices: str = "choices"
    labels: tuple[str, ...] | None = None
    groups: tuple[str, ...] = ()
    split: str | None = None


def text_table(rows: Sequence[Row], columns: Columns) -> Table:
    """A table of texts.

    Raises:
        FedloraError: a column is missing, or a label is not in the label set.
    """
    kind = columns.kind or _inferred(*rows[0], columns)
    places = [place for place, _ in rows]
    texts = [str(column_of(row, columns.text, place)) for place, row in rows]
    labels: np.ndarray | None = None
    names: tuple[str, ...] = ()
    choices: list[list[str]] | None = None
    if kind == "multiple-choice":
        pairs = [_choice(row, columns, place) for place, row in rows]
        choices = [answers for answers, _ in pairs]
        labels = np.array([right for _, right in pairs], dtype=np.int64)
    elif kind != "language-modelling":
        values = [column_of(row, columns.label, place) for place, row in rows]
        labels, names = label_indices(values, columns.labels, places, columns.label)
    return Table(
        kind=kind,
        examples=Examples(texts, labels, choices),
        label_names=names,
        groups=group_columns(rows, columns),
        test=test_rows(rows, columns),
    )


def group_columns(rows: Sequence[Row], columns: Columns) -> dict[str, np.ndarray]:
    """Every group column, (n,) strings."""
    return {
        name: np.array([str(column_of(row, name, place)) for place, row in rows])
        for name in columns.groups
    }


def test_rows(rows: Sequence[Row], columns: Columns) -> np.ndarray | None:
    """(n,) bool, or None when no column tells."""
    if columns.split is None:
        return None
    values = [column_of(row, columns.split, place) for place, row in rows]
    marked = np.array([value == "test" for value in values])
    if not marked.any():
        raise FedloraError(
            f"{rows[0][0]}: no row has '{columns.split}' equal to 'test'; mark some, or set"
            " split: null to draw a test split"
        )
    return marked


def _inferred(place: str, row: dict[str, Any], columns: Columns) -> Kind:
    if columns.choices in row:
        return "multiple-choice"
    if columns.label in row:
        return "text-classification"
    if "label" in columns.model_fields_set:
        column_of(row, columns.label, place)  # named, so missed: says what there is
    return "language-modelling"


def _choice(row: dict[str, Any], columns: Columns, place: str) -> tuple[list[str], int]:
    answers: Any = column_of(row, columns.choices, place)
    letters: Any = None
    if isinstance(answers, dict):
        answers, letters = answers.get("text"), answers.get("label")
    if not isinstance(answers, list) or len(answers) < 2:
        raise FedloraError(
            f"{place}: '{columns.choices}' is not a list of two or more answers; mend the line"
        )
    texts = [str(answer) for answer in answers]
    if not isinstance(letters, list) or len(letters) != len(texts):
        letters = list(ascii_uppercase[: len(texts)])
    right = column_of(row, columns.label, place)
    if isinstance(right, int) and 0 <= right < len(texts):
        return texts, right
    for names in (texts, [str(letter) for letter in letters], [*map(str, range(len(texts)))]):
        if str(right) in names:
            return texts, names.index(str(right))
    raise FedloraError(
        f"{place}: {columns.label} '{right}' is none of the {columns.choices}, nor the index or"
        " the letter of one"
    )
