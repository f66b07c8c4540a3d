"""From rows with named columns to a table: what `files` and `hub` have in common."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Kind, Table
from fedlora.tasks.labels import label_indices
from fedlora.tasks.question_sets import Format, format_of, read_question
from fedlora.tasks.records import Row, column_of, text_of


class Columns(Section):
    """The names of the columns, and what their values mean.

    kind: null infers it: choices make multiple choice, labels a classification, and text alone
        language modelling.
    text, label, choices: column names. Without any, rows of a published question set are read by
        its own. Multiple choice has a list of answers in `choices`, or {"text": answers, "label":
        their labels}, and in `label` the right one: its label where there are some, else its text,
        its letter or its index from zero, which must not lead to different answers.
    first_index: the number of the first answer, where `label` holds numbers and nothing else.
    labels: the label set in order; null takes the values that occur.
    groups: columns by which a family may cut.
    split: a column whose value "test" marks the rows that never train; null when there is none.
    """

    kind: Kind | None = None
    text: str = "text"
    label: str = "label"
    choices: str = "choices"
    first_index: Literal[0, 1] | None = None
    labels: tuple[str, ...] | None = None
    groups: tuple[str, ...] = ()
    split: str | None = None


def text_table(rows: Sequence[Row], columns: Columns) -> Table:
    """A table of texts.

    Raises:
        FedloraError: a column is missing, or a label is not in the label set.
    """
    kind = columns.kind or _inferred(*rows[0], columns)
    names: tuple[str, ...] = ()
    if kind == "multiple-choice":
        examples = _questions(rows, columns)
    elif kind == "language-modelling":
        examples = Examples([text_of(row, columns.text, place) for place, row in rows])
    else:
        texts = [text_of(row, columns.text, place) for place, row in rows]
        values = [column_of(row, columns.label, place) for place, row in rows]
        places = [place for place, _ in rows]
        labels, names = label_indices(values, columns.labels, places, columns.label)
        examples = Examples(texts, labels)
    return Table(
        kind=kind,
        examples=examples,
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
    if columns.choices in row or _is_published(row, columns):
        return "multiple-choice"
    if columns.label in row:
        return "text-classification"
    if "label" in columns.model_fields_set:
        column_of(row, columns.label, place)  # named, so missed: says what there is
    return "language-modelling"


def _is_published(row: dict[str, Any], columns: Columns) -> bool:
    """Whether a question set's own fields are there and no column is named."""
    named = columns.model_fields_set & {"text", "label", "choices"}
    return not named and columns.text not in row and format_of(row) is not None


def _questions(rows: Sequence[Row], columns: Columns) -> Examples:
    published = _is_published(rows[0][1], columns)
    form = Format("", (columns.text,), (columns.choices,), columns.label)
    questions, choices, right = [], [], []
    for place, row in rows:
        if published:
            form = format_of(row) or form  # a row of none is told what it lacks of the last
        if columns.first_index is not None:
            form = replace(form, first=columns.first_index)
        question, answers, index = read_question(row, form, place)
        questions.append(question)
        choices.append(answers)
        right.append(index)
    return Examples(questions, np.array(right, dtype=np.int64), choices)
