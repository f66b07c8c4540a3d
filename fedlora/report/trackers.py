"""One switch to the trackers that people use: the points of TensorBoard, kept on this machine."""

import importlib
from collections import defaultdict
from pathlib import Path
from typing import Any

from fedlora.errors import FedloraError
from fedlora.report.run_folder import RunFolder, SeedFolder, read
from fedlora.report.series import points

TRACKERS = ("swanlab", "trackio", "wandb")


def send(run: Path, tracker: str, project: str = "fedlora") -> None:
    """Log every seed of a run to a tracker, offline: nothing leaves this machine.

    SwanLab and W&B write into RUN/swanlab and RUN/wandb, which their own `sync` commands upload;
    trackio writes into its local store.

    Raises:
        FedloraError: no such tracker, it is not installed, or the path is not a run folder.
    """
    if tracker not in TRACKERS:
        raise FedloraError(f"tracker '{tracker}' is unknown; choose one of {', '.join(TRACKERS)}")
    try:
        module = importlib.import_module(tracker)
    except ImportError:
        raise FedloraError(
            f"tracker '{tracker}' is not installed; pip install 'fedlora[trackers]'"
        ) from None
    folder = read(run)
    for seed in folder.seeds:
        module.init(project=project, **_options(tracker, folder, seed))
        steps: dict[int, dict[str, float]] = defaultdict(dict)
        for point in points(seed.metrics):
            steps[point.step][point.tag] = point.value
        for step, values in sorted(steps.items()):
            module.log(values, step=step)
        module.finish()


def _options(tracker: str, run: RunFolder, seed: SeedFolder) -> dict[str, Any]:
    """Each tracker's own words for a name, a folder and staying offline."""
    name = f"{run.path.name}/{seed.path.name}"
    words: dict[str, dict[str, Any]] = {
        "swanlab": {
            "experiment_name": name,
            "logdir": str(run.path / "swanlab"),
            "mode": "offline",
        },
        "trackio": {"name": name},
        "wandb": {"name": name, "dir": str(run.path), "mode": "offline"},
    }
    return {"config": dict(run.config), **words[tracker]}
