"""What the commands of a deployment share: options, and how they speak and end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedlora.errors import FedloraError

PlaceArgument = Annotated[
    Path,
    typer.Argument(
        envvar="FEDLORA_DEPLOYMENT", help="The machine's folder, which `deploy init` wrote."
    ),
]
AtOption = Annotated[
    Path, typer.Option("--at", envvar="FEDLORA_DEPLOYMENT", help="The server's folder.")
]
DataOption = Annotated[
    list[str] | None,
    typer.Option("--data", envvar="FEDLORA_CLIENT_DATA", help="Your data: PATH, or NAME=PATH."),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", envvar="FEDLORA_CLIENT_MODEL", help="A local folder with the base model."
    ),
]


def model_folder(path: Path | None) -> str | None:
    """A folder by its whole path, for processes that work elsewhere; a name as it is.

    Raises:
        FedloraError: it is a folder without a model, or the path of none.
    """
    from fedlora.config.model import EMBEDDED

    if path is None or str(path) in ("", "."):
        return None
    folder = path.expanduser()
    if (folder / "config.json").is_file():
        return str(folder.absolute())
    if folder.exists() or ("/" not in str(path) and str(path) not in (*EMBEDDED, "florence2")):
        raise FedloraError(f"--model: {folder}: no config.json there; name a model's folder")
    return str(path)


def say(text: str) -> None:
    """A line for a person, on standard error."""
    Console(stderr=True).print(text, soft_wrap=True, highlight=False, markup=False)


@contextmanager
def until_stopped() -> Iterator[Callable[[], bool]]:
    """A question that is answered with yes once Ctrl-C or SIGTERM has come."""
    stopped = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stopped.set()) for number in numbers]
    try:
        yield stopped.is_set
        say("stopped")
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
