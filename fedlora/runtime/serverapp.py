"""The Flower ServerApp: a run's story over whatever grid Flower hands it.

`flwr run .` starts it in Flower's own simulation, a deployment beside its SuperLink.
"""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.superlink.grid import InMemoryGrid

from fedlora import config as configuration
from fedlora import run_folder
from fedlora.backbone import open_slot
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.runtime import run as running
from fedlora.runtime.carriers import Carriers
from fedlora.runtime.deploy.shares import read_shares
from fedlora.runtime.flower_transport import PACK_SECONDS, FlowerTransport
from fedlora.runtime.log_observer import LogObserver
from fedlora.runtime.pack import Origin
from fedlora.runtime.relay import Meter
from fedlora.runtime.serving import Serve, Story

Live = Callable[[RunConfig, Path, Serve], None]


def live(config: RunConfig, folder: Path, serve: Serve) -> None:
    """Fill the run folder, and tell Flower's log how far it is."""
    running.live(config, folder, LogObserver(), serve)


def server_app(live: Live = live) -> ServerApp:
    """A ServerApp that lives the run its run config describes."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        say = LogObserver().note
        carriers = Carriers(grid, say=say, known=read_shares)
        counters = context.run_config.get("counters")
        meter = Meter(Path(str(counters))) if counters else None

        simulated = isinstance(grid, InMemoryGrid)
        config, folder = open_run(dict(context.run_config), simulated)
        if not context.run_config["folder"]:
            say(f"run folder: {folder}; for its table and page: fedlora report {folder}")

        def serve(config: RunConfig, seed: int, story: Story) -> None:
            if simulated:
                story(FlowerTransport(carriers, config, seed, PACK_SECONDS, meter))
            else:
                # Each message costs a poll of some seconds, so all of a node's go into one.
                origin = origin_of(config, folder)
                story(FlowerTransport(carriers, config, seed, None, meter, origin))

        live(config, folder, serve)

    return app


def origin_of(config: RunConfig, folder: Path) -> Origin:
    """What clients on other machines compare with their own."""
    base = open_slot(config.backbone, config.lora, config.runtime.device).spec.base
    return Origin(folder.name, version("fedlora"), base)


def open_run(run_config: dict[str, Any], simulated: bool) -> tuple[RunConfig, Path]:
    """The run that a Flower run config describes, and its folder.

    config: a path inside the app's bundle or on this machine, or a whole configuration as JSON.
    overrides: section.key=value, separated by spaces.
    folder: of a run that was begun, whose own configuration then counts; made under runs/ when
        empty.

    Args:
        run_config: these.
        simulated: whether all clients live on this machine, in processes of Flower's simulation.

    Raises:
        FedloraError: the configuration is wrong, or the folder holds no run.
    """
    if run_config["folder"]:
        folder = Path(run_config["folder"])
        config = run_folder.resume(folder)
        _check_runtime(config, simulated)
        return config, folder
    text = str(run_config["config"])
    if text.startswith("{"):
        config = configuration.from_dict(json.loads(text), origin="run config")
    else:
        config = configuration.load(_find(text), str(run_config["overrides"]).split())
    _check_runtime(config, simulated)
    return config, run_folder.create(config, Path("runs").absolute())


def _check_runtime(config: RunConfig, simulated: bool) -> None:
    """Refuse to tell clients of other machines that they are simulated, with noise of a seed."""
    if not simulated and config.runtime.name != "deployment":
        raise FedloraError(
            f"runtime.name={config.runtime.name}: these clients are on machines of their own;"
            " set runtime.name=deployment, or submit the run with `fedlora deploy run`"
        )


def _find(path: str) -> Path:
    """A file of the bundle, whose folder Flower puts on sys.path; else a file of this machine."""
    places = [Path(place) / path for place in sys.path]
    return next((place for place in places if place.is_file()), Path(path))


app = server_app()
