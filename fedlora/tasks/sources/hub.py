"""Data sets of the Hugging Face hub."""

from typing import Any, Literal

import numpy as np
from pydantic import PositiveInt

from fedlora.errors import FedloraError
from fedlora.tasks.columns import Columns, group_columns, text_table
from fedlora.tasks.contract import Examples, Source, Table
from fedlora.tasks.image_files import pixels
from fedlora.tasks.labels import label_indices
from fedlora.tasks.records import Row, column_of

SPLIT = "split of the hub"


class Config(Columns):
    """The columns' names, and which data set.

    id: such as "ag_news"; subset: its configuration, when it has several.
    train_split, test_split: splits of the data set; a null test_split draws one.
    image: the image column, for kind image-classification; size, channels: of images.
    """

    id: str
    subset: str | None = None
    train_split: str = "train"
    test_split: str | None = "test"
    image: str = "image"
    size: PositiveInt = 28
    channels: Literal[1, 3] = 1


class Hub(Source):
    """A data set of the Hugging Face hub by its id, or one in the local hub cache."""

    Config = Config

    def load(self) -> Table:
        """Both splits; class labels become their names."""
        config = self.config
        rows = self._rows(config.train_split, "train")
        if config.test_split is not None:
            rows += self._rows(config.test_split, "test")
            config = config.model_copy(update={"split": SPLIT})
        if config.kind == "image-classification":
            return _image_table(rows, config)
        return text_table(rows, config)

    def _rows(self, split: str, mark: str) -> list[Row]:
        data = _load(self.config.id, self.config.subset, split)
        names = getattr(data.features.get(self.config.label), "names", None)
        rows = []
        for number, row in enumerate(data):
            place = f"{self.config.id} {split} row {number}"
            if names is not None:
                row[self.config.label] = _class_name(row[self.config.label], names, place)
            rows.append((place, {**row, SPLIT: mark}))
        if not rows:
            raise FedloraError(f"{self.config.id}: its split '{split}' is empty; name another")
        return rows


def _load(name: str, subset: str | None, split: str) -> Any:
    from datasets import exceptions, load_dataset

    try:
        return load_dataset(name, subset, split=split)
    except (ConnectionError, exceptions.DatasetNotFoundError, FileNotFoundError) as error:
        raise FedloraError(
            f"source 'hub': '{name}' is not in the local hub cache and cannot be fetched; check"
            " the id, the network and HF_HUB_OFFLINE, or use source 'files'"
        ) from error
    except ValueError as error:
        raise FedloraError(f"source 'hub': '{name}': {str(error).splitlines()[0]}") from error


def _class_name(number: int | None, names: list[str], place: str) -> str:
    if number is None or number < 0:  # as the hub keeps the answers of a contest back
        raise FedloraError(
            f"{place}: its label is kept back; set the source's test_split to null or another split"
        )
    return names[number]


def _image_table(rows: list[Row], config: Config) -> Table:
    labels, names = label_indices(
        [column_of(row, config.label, place) for place, row in rows],
        config.labels,
        [place for place, _ in rows],
        config.label,
    )
    images = [
        pixels(column_of(row, config.image, place), config.size, config.channels)
        for place, row in rows
    ]
    test = np.array([row[SPLIT] == "test" for _, row in rows])
    return Table(
        kind="image-classification",
        examples=Examples(np.stack(images).astype(np.float32) / 255, labels),
        label_names=names,
        groups=group_columns(rows, config),
        test=test if test.any() else None,
    )
