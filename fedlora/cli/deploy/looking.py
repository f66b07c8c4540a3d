"""How a federation does: who is connected, how far a run is, whether a machine is fit."""

from dataclasses import asdict
from pathlib import Path

from fedlora.cli.deploy.options import (
    DataOption,
    ModelOption,
    PlaceArgument,
    model_folder,
    say,
)
from fedlora.cli.options import AsJson
from fedlora.cli.output import show
from fedlora.errors import FedloraError


def status(at: PlaceArgument = Path(), json: AsJson = False) -> None:
    """Show who is connected, and how far the latest run is; on the server's machine.

    Of a server that does not run, the run alone. A client that was killed is told to be online for
    a minute more.
    """
    from fedlora import run_folder
    from fedlora.runtime.deploy import place
    from fedlora.runtime.deploy import submit as submitting
    from fedlora.runtime.deploy.control import NoAnswerError, control
    from fedlora.server.progress import progress

    here = place.read(at, "server")
    nodes = []
    try:
        with control(here) as superlink:
            nodes = [
                {"client": node.name or str(node.id), "status": node.status, "since": node.since}
                for node in superlink.nodes()
            ]
    except NoAnswerError as error:
        say(f"nobody is connected: {error}")
    run = submitting.latest(here)
    rows = []
    if run is not None:
        failure = run_folder.failure(run)
        for seed in run_folder.resume(run).seeds:
            stands = asdict(progress(run_folder.seed_folder(run, seed)))
            done = (run_folder.seed_folder(run, seed) / "facts.json").is_file()
            rows.append({"run": run.name, "seed": seed, "done": done, **stands, "failure": failure})
    if json:
        show([{"clients": nodes, "runs": rows}], json)
        return
    show(nodes, json, "clients")
    if not rows:
        show([], json, "the latest run")
    for row in rows:  # upright, since a terminal may be narrow
        told = {**row, "down": f"{row['down']:,} bytes", "up": f"{row['up']:,} bytes"}
        show(
            [{"what": what, "value": value} for what, value in told.items()], json, "the latest run"
        )


def doctor(
    folder: PlaceArgument = Path(),
    data: DataOption = None,
    model: ModelOption = None,
    json: AsJson = False,
) -> None:
    """Check certificates, clock, ports, versions, disk and the base model of this machine.

    On a client, the server is called as well: start it first.
    """
    from fedlora.runtime.deploy import place
    from fedlora.runtime.deploy.doctor import examine
    from fedlora.runtime.deploy.own import read_data

    found = examine(place.read_any(folder), model_folder(model), read_data(data or []))
    show([asdict(finding) for finding in found], json)
    if wrong := [finding.check for finding in found if not finding.fine]:
        raise FedloraError(f"not fit to run: {', '.join(wrong)}")
