"""What a newcomer came for, told to the processes of its machine through their environment."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "FEDLORA_WISH"


@dataclass(frozen=True)
class Wish:
    """An adapter for this data, in this folder.

    text, label: the data's columns; None for their usual names.
    """

    data: str
    out: str
    text: str | None = None
    label: str | None = None

    def variable(self) -> dict[str, str]:
        """For the environment of a process that is to know it."""
        return {VARIABLE: json.dumps(asdict(self))}

    def fulfilled(self) -> bool:
        """Whether the folder is there, which it is once the adapter is whole and was tried."""
        return (Path(self.out) / "adapter_config.json").is_file()


def wish_of_environment() -> Wish | None:
    """The wish of this machine's command; None on one that is no newcomer's."""
    text = os.environ.get(VARIABLE)
    return None if text is None else Wish(**json.loads(text))
