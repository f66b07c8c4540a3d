"""An app handed to a SuperLink with Flower's own commands, and watched until it is done."""

import json
import subprocess
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fedlora.errors import FedloraError
from fedlora.runtime.log_observer import MARK
from fedlora.runtime.processes import bound_to_parent


def write_app(folder: Path, run_config: dict[str, str], components: dict[str, str]) -> None:
    """A Flower app without code: SuperLink and SuperNodes import the modules it names.

    run_config: its whole run config.
    components: "serverapp" and "clientapp" as module:name.
    """
    sections = {
        "project": {"name": "fedlora", "version": version("fedlora"), "license": "Apache-2.0"},
        "tool.flwr.app": {"publisher": "fedlora"},
        "tool.flwr.app.components": components,
        "tool.flwr.app.config": run_config,
    }
    lines = [
        line
        for name, values in sections.items()
        # A JSON string without escaped surrogates is a TOML string.
        for line in (
            f"[{name}]",
            *(f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in values.items()),
        )
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text("\n".join(lines) + "\n")


def submit(
    app: Path, connection: str, env: dict[str, str], log: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run an app on a SuperLink to its end.

    Args:
        app: its folder.
        connection: a name in FLWR_HOME/config.toml.
        env: for Flower's commands.
        log: a file that gets all the ServerApp prints.
        say: is given each line that its LogObserver writes.

    Returns:
        What `flwr list` tells of the run: its status, network traffic and compute time.

    Raises:
        FedloraError: the SuperLink was not reached, or the run failed; one line says why.
    """
    started = _flwr(["run", str(app), connection, "--format", "json"], env)
    run = started["run-id"]
    try:
        _follow([run, connection], env, log, say)
    except BaseException:
        # Nobody waits for it any more; why not is what counts, whether or not it can be stopped.
        with suppress(FedloraError):
            _flwr(["stop", run, connection, "--format", "json"], env)
        raise
    told: dict[str, Any] = _flwr(["list", connection, "--run-id", run, "--format", "json"], env)
    record: dict[str, Any] = told["runs"][0]
    if record["status"] != "finished:completed":
        reason = " ".join(record["status-details"].split()) or record["status"]
        raise FedloraError(reason.removeprefix("ServerApp failed with exception: "))
    return record


def _follow(run: list[str], env: dict[str, str], log: Path, say: Callable[[str], None]) -> None:
    """Pass a run's output on until the run is over."""
    command = [*bound_to_parent(), "flwr", "log", *run, "--stream"]
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as lines,
    ):
        assert lines.stdout is not None
        for line in lines.stdout:
            file.write(line)
            _, mark, text = line.partition(MARK)
            if mark:
                say(text.rstrip())


def _flwr(arguments: list[str], env: dict[str, str]) -> dict[str, Any]:
    """The JSON that one of Flower's commands prints."""
    done = subprocess.run(
        ["flwr", *arguments], env=env, capture_output=True, text=True, check=False
    )
    try:
        told: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        told = {"success": False, "error-message": done.stdout + done.stderr}
    if not told.get("success"):
        reason = " ".join(str(told.get("error-message")).split())
        raise FedloraError(f"flwr {arguments[0]}: {reason}")
    return told
