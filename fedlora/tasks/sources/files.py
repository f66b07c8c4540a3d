"""A user's own data, by path alone."""

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from fedlora.errors import FedloraError
from fedlora.tasks.columns import Columns, text_table
from fedlora.tasks.contract import Source, Table
from fedlora.tasks.image_folder import image_table, is_image_folder
from fedlora.tasks.records import read_records, record_files


class Config(Columns):
    """The columns' names, and where the data lies.

    path: a JSONL, CSV or Parquet file; a folder of such files; or a folder of images with one
        subfolder a class, maybe below `train` and `test`.
    size, channels: of images, in pixels and as 1 (grey) or 3 (colour).
    """

    path: Path
    size: PositiveInt = 28
    channels: Literal[1, 3] = 1


class Files(Source):
    """Your own JSONL, CSV or Parquet files, or a folder of images, by path."""

    Config = Config

    def load(self) -> Table:
        """Everything under the path; the files of a folder follow each other by name."""
        path = self.config.path.expanduser()
        if not path.exists():
            raise FedloraError(f"{path}: no such file or folder; check 'path' of source 'files'")
        if self.config.kind == "image-classification" or is_image_folder(path):
            return image_table(path, self.config.size, self.config.channels, self.config.labels)
        rows = [row for part in record_files(path) for row in read_records(part)]
        return text_table(rows, self.config)
