"""A run on Flower's SuperLink and SuperNodes."""

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from fedlora import atomic
from fedlora.config import RuntimeConfig
from fedlora.runtime.log_observer import Retelling
from fedlora.runtime.loopback import COUNTERS, NAME, loopback
from fedlora.runtime.processes import flower_environment
from fedlora.runtime.relay import totals
from fedlora.runtime.submission import submit, write_app
from fedlora.server.observer import Observer

RELAYS = "relays"
"""In deployment/run.json, what each node's relay has passed on, beside Flower's own record."""

COMPONENTS = {
    "serverapp": "fedlora.runtime.serverapp:app",
    "clientapp": "fedlora.runtime.clientapp:app",
}


def run(
    folder: Path,
    runtime: RuntimeConfig,
    observer: Observer,
    components: dict[str, str] = COMPONENTS,
) -> None:
    """Have the ServerApp fill a run folder, and wait until it has.

    `runtime.address` names a connection in Flower's own configuration, to a SuperLink that sees
    the run folder. Without one, a SuperLink and `runtime.nodes` SuperNodes are started on this
    machine for as long as it takes; their logs stay in the run folder.

    Raises:
        FedloraError: the deployment did not start, or the run failed; one line says why.
    """
    logs = folder.absolute() / "deployment"
    logs.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="fedlora-") as temporary:
        home, app = Path(temporary) / "home", Path(temporary) / "app"
        home.mkdir()
        counters = "" if runtime.address else str(home / COUNTERS)
        run_config = {"config": "", "overrides": "", "folder": str(folder.absolute())}
        write_app(app, run_config | {"counters": counters}, components)
        with _place(runtime, home, logs) as env:
            log = logs / "serverapp.log"
            record = submit(app, runtime.address or NAME, env, log, Retelling(observer))
        if counters:
            record[RELAYS] = totals(Path(counters))
    atomic.write_text(logs / "run.json", json.dumps(record, indent=1))


def _place(
    runtime: RuntimeConfig, home: Path, logs: Path
) -> AbstractContextManager[dict[str, str]]:
    """The environment in which Flower's commands reach the SuperLink."""
    if runtime.address is None:
        return loopback(runtime.nodes, home, logs)
    return nullcontext(flower_environment(None))
