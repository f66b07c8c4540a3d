"""One switch to the trackers that people use; nothing leaves this machine unless asked to."""

import importlib
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from fedlora.errors import FedloraError

Tracker = Literal["swanlab", "trackio", "wandb"]
TRACKERS: tuple[str, ...] = get_args(Tracker)
PLACE = ("SWANLAB_PROJECT", "SWANLAB_WORKSPACE")
"""Environment variables that name where an experiment goes."""
KEYS = {"swanlab": "SWANLAB_API_KEY", "wandb": "WANDB_API_KEY"}


def begin(
    tracker: str,
    *,
    project: str,
    name: str,
    folder: Path,
    config: Mapping[str, Any],
    workspace: str | None = None,
    online: bool = False,
) -> Any:
    """Begin an experiment; what is given back has `log(values, step=)` and `finish()`.

    SwanLab writes into FOLDER/swanlab_logs and W&B into FOLDER/wandb, which their own `sync`
    commands upload; trackio writes into its local store. With `online`, and a key in the
    environment, they send what they get as it comes; without a key they warn and stay offline.

    Raises:
        FedloraError: no such tracker, it is not installed, or it does not start.
    """
    if tracker not in TRACKERS:
        raise FedloraError(f"tracker '{tracker}' is unknown; choose one of {', '.join(TRACKERS)}")
    try:
        with _unseen(*PLACE):
            module = importlib.import_module(tracker)
    except ImportError:
        raise FedloraError(
            f"tracker '{tracker}' is not installed; pip install 'fedlora[trackers]'"
        ) from None
    if online and tracker in KEYS and not os.environ.get(KEYS[tracker]):
        warnings.warn(f"{KEYS[tracker]} is not set: {tracker} stays offline", stacklevel=2)
        online = False
    words: dict[str, dict[str, Any]] = {
        "swanlab": {
            "experiment_name": name,
            "workspace": workspace,
            "logdir": str(folder / "swanlab_logs"),
            "mode": "cloud" if online else "offline",
        },
        "trackio": {"name": name},
        "wandb": {
            "name": name,
            "entity": workspace,
            "dir": str(folder),
            "mode": "online" if online else "offline",
        },
    }
    given = {word: value for word, value in words[tracker].items() if value is not None}
    try:
        with _unseen(*PLACE):
            module.init(project=project, config=dict(config), **given)
    except Exception as error:  # each tracker has errors of its own
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise FedloraError(f"tracker '{tracker}' does not start: {reason}") from error
    return module


@contextmanager
def _unseen(*names: str) -> Iterator[None]:
    """Without these environment variables, which SwanLab 0.10 takes for JSON and fails."""
    hidden = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
