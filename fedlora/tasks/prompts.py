"""Prompts of tasks, read from a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fedlora.errors import FedloraError
from fedlora.tasks.records import SUFFIXES, Row, is_records, read_records

COLUMNS = ("prompt", "question", "text", "input")


class Prompt(NamedTuple):
    """A text, and the name of the task it belongs to; empty where the file does not say."""

    text: str
    task: str


def read_prompts(path: Path, column: str | None = None, task: str = "task") -> list[Prompt]:
    """A prompt a line of a text file, or a row of JSONL, CSV or Parquet.

    Args:
        path: the file; of a text file, and of no other, empty lines are passed over.
        column: the column of the text; absent, the first filled of prompt, question, text, input.
        task: the column of the task's name, in all rows or in none.

    Raises:
        FedloraError: the file is missing, empty, not UTF-8, a line is malformed or has no text, or
            some rows name a task and others none.
    """
    if path.suffix != ".txt":
        if path.is_file() and not is_records(path):
            raise FedloraError(f"{path}: unknown format; use one of .txt, {', '.join(SUFFIXES)}")
        return _of_rows(read_records(path), COLUMNS if column is None else (column,), task)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise FedloraError(f"{path}: no such file; check the path") from None
    except UnicodeDecodeError as error:
        raise FedloraError(f"{path}: not UTF-8 at byte {error.start}; convert it") from None
    except OSError as error:
        raise FedloraError(f"{path}: cannot be read ({error.strerror})") from None
    prompts = [Prompt(line.strip(), "") for line in lines if line.strip()]
    if not prompts:
        raise FedloraError(f"{path}: holds no prompt; write one a line")
    return prompts


def by_task(prompts: Sequence[Prompt]) -> dict[str, list[str]]:
    """The different texts of each task, in the order of the file."""
    tasks: dict[str, dict[str, None]] = {}
    for prompt in prompts:
        tasks.setdefault(prompt.task, {})[prompt.text] = None
    return {name: list(texts) for name, texts in tasks.items()}


def _of_rows(rows: Sequence[Row], columns: Sequence[str], task: str) -> list[Prompt]:
    prompts = [Prompt(_text(row, columns, place), _said(row.get(task))) for place, row in rows]
    unnamed = [place for (place, _), prompt in zip(rows, prompts, strict=True) if not prompt.task]
    if unnamed and len(unnamed) < len(prompts):
        raise FedloraError(
            f"{unnamed[0]}: no '{task}', and other rows have one; name it in all or none"
        )
    return prompts


def _text(row: dict[str, Any], columns: Sequence[str], place: str) -> str:
    there = [name for name in columns if name in row]
    filled = [name for name in there if _said(row[name])]
    if filled and isinstance(text := row[filled[0]], str):
        return text.strip()
    if filled:
        what = f"'{filled[0]}' is {_said(row[filled[0]])[:40]}, not text; write it in quotes"
    elif there:
        what = f"'{there[0]}' is empty; write the prompt, or leave the row out"
    else:
        known = f"the columns are {', '.join(sorted(map(str, row)))}"
        what = f"no text in {' or '.join(columns)}; {known}: rename the one that has it"
    raise FedloraError(f"{place}: {what}")


def _said(value: Any) -> str:
    return "" if value is None else str(value).strip()
