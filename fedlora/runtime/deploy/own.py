"""What a client's machine brings of its own, in place of what the server's configuration names."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedlora.errors import FedloraError

if TYPE_CHECKING:
    from fedlora.config import RunConfig

VARIABLE = "FEDLORA_OWN"
"""Carries an `Own` to the processes of a client."""


@dataclass(frozen=True)
class Own:
    """A client's data and base model, by path.

    data: a path for each task by name; under "" one for the only task that the client carries.
    model: a local folder with the base model; None where the configuration's name will do.
    share, shares: which of a run's clients it carries.
    """

    data: Mapping[str, str]
    model: str | None
    share: int | None
    shares: int

    def variable(self) -> dict[str, str]:
        """For the environment of a process that is to know it."""
        return {VARIABLE: json.dumps(asdict(self))}

    def apply(self, config: "RunConfig") -> "RunConfig":
        """The configuration as this client follows it; all else stays the server's.

        Raises:
            FedloraError: a task is unknown, or its family makes its examples itself.
        """
        from fedlora import config as configuration

        raw = config.model_dump(mode="json")
        if self.model is not None:
            raw["backbone"]["name"] = self.model
        for task, path in self.data.items():
            _replace_source(raw["tasks"], task or self._only_task(config), path)
        return configuration.from_dict(raw, origin="this client's own --data and --model")

    def _only_task(self, config: "RunConfig") -> str:
        from fedlora.roster import seats

        carried = {s.task for s in seats(config) if s.client % self.shares == self.share}
        if len(carried) != 1:
            named = ", ".join(sorted(carried)[:4]) or "none"
            raise FedloraError(
                f"--data: this client carries {len(carried)} tasks ({named});"
                " say which is which with --data NAME=PATH"
            )
        return carried.pop()


def own_of_environment() -> Own | None:
    """What the client's command has left for its processes; None where it has not."""
    text = os.environ.get(VARIABLE)
    return None if text is None else Own(**json.loads(text))


def read_data(words: list[str]) -> dict[str, str]:
    """`--data` options: PATH, or NAME=PATH; absolute, for processes that work elsewhere.

    Raises:
        FedloraError: a path does not exist, or a task is named twice.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or Path(word).exists():
            name, path = "", word
        if not Path(path).expanduser().exists():
            raise FedloraError(f"--data: {path}: no such file or folder")
        if name in found:
            raise FedloraError(f"--data: {f'task {name}' if name else 'a path'} is given twice")
        found[name] = str(Path(path).expanduser().absolute())
    return found


def look_at(path: Path) -> list[Path]:
    """The files of records at a path; none in a folder of images.

    Raises:
        FedloraError: there is nothing there to learn from.
    """
    from fedlora.tasks.image_folder import is_image_folder
    from fedlora.tasks.records import record_files

    return [] if is_image_folder(path) else record_files(path)


def _replace_source(tasks: dict[str, object], task: str, path: str) -> None:
    """Have one task's examples come from a path, with the columns that the configuration names."""
    several, source = tasks.get("tasks"), tasks.get("source")
    if isinstance(several, dict):
        if task not in several:
            raise FedloraError(f"--data: no task '{task}'; the run has {', '.join(several)}")
        several[task] = _files(several[task]) | {"path": path}
    elif isinstance(source, dict) and source.get("name") == "files":
        tasks["source"] = source | {"path": path}
    else:
        raise FedloraError(
            f"--data: tasks.name '{tasks.get('name')}' makes its examples from a source of its"
            " own; take tasks.name=several, or source.name=files"
        )


def _files(part: object) -> dict[str, object]:
    known = part if isinstance(part, dict) and part.get("name") == "files" else {}
    return {**known, "name": "files"}
