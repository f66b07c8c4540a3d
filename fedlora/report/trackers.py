"""A run's measurements for the trackers that people use: the points of TensorBoard."""

from collections import defaultdict
from pathlib import Path

from fedlora import tracking
from fedlora.report.run_folder import read
from fedlora.report.series import points


def send(run: Path, tracker: str, project: str = "fedlora") -> None:
    """Log every seed of a run to a tracker, offline: nothing leaves this machine.

    Raises:
        FedloraError: no such tracker, it is not installed, or the path is not a run folder.
    """
    folder = read(run)
    for seed in folder.seeds:
        name = f"{folder.path.name}/{seed.path.name}"
        opened = tracking.begin(
            tracker, project=project, name=name, folder=folder.path, config=folder.config
        )
        steps: dict[int, dict[str, float]] = defaultdict(dict)
        for point in points(seed.metrics):
            steps[point.step][point.tag] = point.value
        for step, values in sorted(steps.items()):
            opened.log(values, step=step)
        opened.finish()
