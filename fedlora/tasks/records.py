"""Rows of JSONL, CSV and Parquet files, each with the place it came from."""

import bz2
import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from fedlora.errors import FedloraError

SUFFIXES = (".jsonl", ".csv", ".csv.gz", ".csv.bz2", ".parquet")

Row = tuple[str, dict[str, Any]]


def is_records(path: Path) -> bool:
    """Whether the file's name says that this module reads it."""
    return path.name.endswith(SUFFIXES)


def record_files(path: Path) -> list[Path]:
    """The path itself, or the files of a folder that this module reads, by name.

    Raises:
        FedloraError: the folder holds none, or the path is none.
    """
    if not path.is_dir():
        _check(path)
        return [path]
    found = sorted(filter(is_records, path.iterdir()))
    if not found:
        raise FedloraError(f"{path}: holds no JSONL, CSV or Parquet file and no images")
    return found


def read_records(path: Path) -> list[Row]:
    """(place, row) pairs; a place is "FILE line N", as an editor counts lines.

    Raises:
        FedloraError: the file is missing, empty, of another format, or has a malformed line.
    """
    _check(path)
    try:
        rows = list(_rows(path))
    except UnicodeDecodeError as error:
        raise FedloraError(f"{path}: not UTF-8 at byte {error.start}; convert it") from error
    except (OSError, EOFError) as error:
        raise FedloraError(f"{path}: cannot be read ({error})") from error
    if not rows:
        raise FedloraError(f"{path}: holds no examples; give at least one row")
    return rows


def _check(path: Path) -> None:
    if path.is_dir():
        raise FedloraError(f"{path}: a folder; name one file")
    if not path.is_file():
        raise FedloraError(f"{path}: no such file; check the path")
    if not is_records(path):
        raise FedloraError(f"{path}: unknown format; use one of {', '.join(SUFFIXES)}")


_OTHER = "name another as the source's text, label, choices or groups, or by --text and --label"


def column_of(row: dict[str, Any], key: str, place: str) -> Any:
    """A row's value, refused when it is missing or empty."""
    if row.get(key) is None or row[key] == "":
        there = ", ".join(sorted(str(name) for name in row))
        remedy = "fill it, or leave the row out" if key in row else f"add it, or {_OTHER}"
        raise FedloraError(f"{place}: no value for '{key}'; the columns are {there}: {remedy}")
    return row[key]


def text_of(row: dict[str, Any], key: str, place: str) -> str:
    """A row's value as text, refused when it is missing, empty, a list or an object."""
    value = column_of(row, key, place)
    if isinstance(value, list | dict):
        raise FedloraError(f"{place}: '{key}' is {str(value)[:40]}, not text; {_OTHER}")
    return str(value)


def _rows(path: Path) -> Iterator[Row]:
    if path.name.endswith(".parquet"):
        yield from _parquet_rows(path)
    elif path.name.endswith(".jsonl"):
        with path.open(encoding="utf-8-sig") as file:
            yield from _json_rows(path, file)
    else:
        with _open_csv(path) as file:
            yield from _csv_rows(path, file)


def _json_rows(path: Path, file: TextIO) -> Iterator[Row]:
    empty: int | None = None
    for number, line in enumerate(file, start=1):
        if not line.strip():
            empty = empty or number
            continue
        if empty is not None:  # at the end of a file they say nothing, between rows one is lost
            raise FedloraError(f"{path} line {empty}: empty; remove the line, or write its row")
        try:
            row = json.loads(line)
            if "\\ud" in line.lower():  # half of a pair is no text, and cannot be written
                json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)[:80]
            raise FedloraError(
                f"{path} line {number}: malformed JSON ({what}); mend or remove the line"
            ) from error
        if not isinstance(row, dict):
            raise FedloraError(f"{path} line {number}: not a JSON object; write {{...}}")
        yield f"{path} line {number}", row


def _open_csv(path: Path) -> TextIO:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    if path.name.endswith(".bz2"):
        return bz2.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _csv_rows(path: Path, file: TextIO) -> Iterator[Row]:
    reader = csv.DictReader(file, strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise FedloraError(
                    f"{path} line {reader.line_num}: {len(reader.fieldnames or ())} columns"
                    " expected; mend the line, or quote text that contains commas"
                )
            yield f"{path} line {reader.line_num}", dict(row)
    except csv.Error as error:
        raise FedloraError(f"{path} line {reader.line_num}: malformed CSV ({error})") from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        raise FedloraError(
            f"{path}: not a readable Parquet file ({reason}); write it again"
        ) from error
    for number, row in enumerate(table.to_pylist(), start=1):
        yield f"{path} row {number}", row
