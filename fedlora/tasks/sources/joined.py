"""Texts of several sources as one, to be cut into the domains of them all."""

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Source, Table
from fedlora.tasks.naming import check_names
from fedlora.tasks.source_part import SourcePart
from fedlora.tasks.splits import test_mask


class TextPart(Section):
    """A source of texts, and the column (topic, author, subject) whose values are its domains."""

    source: SourcePart
    column: str


class Config(Section):
    """Sources by the name that their domains begin with.

    parts: such as {news: {source: {name: bbc_news}, column: topic}}.
    seed: of the test rows of a part that has none of its own.
    """

    parts: dict[str, TextPart] = Field(min_length=1)
    seed: int = 0

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        check_names(self.parts, "parts")
        return self


class Joined(Source):
    """News by topic, reviews by product, mails by list: texts alone, without labels."""

    Config = Config

    def load(self) -> Table:
        """The parts' texts in the config's order; groups: domain, such as "news-sports"."""
        texts, domains, tests = list[str](), list[str](), []
        for name, part in self.config.parts.items():
            table = _texts(name, part)
            texts += table.examples.texts
            key = f"tasks.source.parts.{name}.column"
            values = table.group(part.column, key, part.source.title)
            domains += [f"{name}-{value}" for value in values]
            tests.append(test_mask(table, self.config.seed))
        return Table(
            kind="language-modelling",
            examples=Examples(texts),
            groups={"domain": np.array(domains)},
            test=np.concatenate(tests),
        )


def _texts(name: str, part: TextPart) -> Table:
    table: Table = part.source.load()
    if table.kind in ("image-classification", "object-detection"):
        raise FedloraError(f"tasks.source.parts.{name}: '{part.source.title}' holds no texts")
    return table
