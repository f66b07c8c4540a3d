"""One switch to the trackers that people use; nothing leaves this machine unless asked to."""

import importlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from fedlora.errors import FedloraError

Tracker = Literal["swanlab", "trackio", "wandb"]
TRACKERS: tuple[str, ...] = get_args(Tracker)
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
        FedloraError: no such tracker, or it is not installed.
    """
    if tracker not in TRACKERS:
        raise FedloraError(f"tracker '{tracker}' is unknown; choose one of {', '.join(TRACKERS)}")
    try:
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
    module.init(project=project, config=dict(config), **given)
    return module
