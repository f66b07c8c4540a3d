"""Prompts of tasks, read from a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fedlora.errors import FedloraError
from fedlora.tasks.records import SUFFIXES, is_records, read_records

COLUMNS = ("prompt", "question", "text", "input")


class Prompt(NamedTuple):
    """A text, and the name of the task it belongs to; empty where the file does not say."""

    text: str
    task: str


def read_prompts(path: Path, column: str | None = None, task: str = "task") -> list[Prompt]:
    """A prompt a line of a text file, or a row of JSONL, CSV or Parquet.

    Args:
        path: the file; of a text file, empty lines are passed over.
        column: the column of the text; absent, the first there of prompt, question, text, input.
        task: the column of the task's name.

    Raises:
        FedloraError: the file is missing, empty, not UTF-8, or a line is malformed.
    """
    if path.suffix != ".txt":
        if path.is_file() and not is_records(path):
            raise FedloraError(f"{path}: unknown format; use one of .txt, {', '.join(SUFFIXES)}")
        return [_prompt(row, column, task, place) for place, row in read_records(path)]
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


def _prompt(row: dict[str, Any], column: str | None, task: str, place: str) -> Prompt:
    known = COLUMNS if column is None else (column,)
    for name in known:
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            of = row.get(task)
            return Prompt(value.strip(), "" if of is None else str(of))
    there = ", ".join(sorted(map(str, row)))
    raise FedloraError(f"{place}: no text in {' or '.join(known)}; the columns are {there}")
