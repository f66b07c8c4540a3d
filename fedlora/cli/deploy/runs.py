"""Runs of a federation, and newcomers between them."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora import atomic
from fedlora.cli.deploy.options import (
    AtOption,
    ModelOption,
    PlaceArgument,
    model_folder,
    say,
    until_stopped,
)
from fedlora.cli.options import AsJson, LabelOption, RunDir, TextOption
from fedlora.cli.output import show
from fedlora.errors import FedloraError


def submit(
    config: Annotated[Path | None, typer.Argument(help="A YAML file.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="section.key=value, over what the file says.")
    ] = None,
    at: AtOption = Path(),
    resume: Annotated[
        Path | None, typer.Option(help="Go on with this run folder, whatever was killed.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Run a federation on the machines that are connected; on the server's machine.

    Example: fedlora deploy submit configs/deployment.yaml --at server
    """
    from fedlora import config as configuration
    from fedlora import run_folder
    from fedlora.cli.console import watching
    from fedlora.cli.errors import resumable
    from fedlora.cli.report import report
    from fedlora.runtime import run as running
    from fedlora.runtime.deploy import place
    from fedlora.runtime.deploy import submit as submitting

    here = place.read(at, "server")
    if (config is None) == (resume is None):
        raise FedloraError("name a configuration, or --resume a run: one of the two")
    submitting.connect(here, say)
    if resume is None:
        assert config is not None
        settings = configuration.load(config, [*submitting.settings_for(here), *(overrides or [])])
        if settings.runtime.name != "deployment":
            named = settings.runtime.name
            raise FedloraError(f"runtime.name={named}: leave it out, or take fedlora run")
        folder = run_folder.create(settings, submitting.runs(here))
    else:
        folder = resume
        settings = submitting.resumed(folder)
    say(f"run folder: {folder}")
    again = f"fedlora deploy submit --at {at} --resume {folder}"
    with resumable(again), submitting.going_on(again), watching() as observer:
        running.run(settings, folder, observer)
    report(folder, json=json)


def serve(
    run: RunDir,
    at: AtOption = Path(),
    seconds: Annotated[
        float, typer.Option(min=1, help="How long; Ctrl-C ends it earlier.")
    ] = 86400.0 * 365,
) -> None:
    """Serve newcomers from a finished run, whenever they come, without a training round.

    Example: fedlora deploy serve server/runs/deployment_... --at server
    """
    from fedlora.runtime.deploy import place
    from fedlora.runtime.deploy import submit as submitting

    here = place.read(at, "server")
    submitting.connect(here, say)
    try:
        with submitting.going_on(f"fedlora deploy serve {run} --at {at}"):
            submitting.serve(here, run, seconds, say)
    except KeyboardInterrupt:
        say("stopped")


def adopt(
    folder: PlaceArgument,
    data: Annotated[Path, typer.Option(help="Your data: JSONL, CSV, Parquet, or a folder.")],
    out: Annotated[Path, typer.Option(help="The PEFT folder to leave with.")],
    text: TextOption = None,
    label: LabelOption = None,
    model: ModelOption = None,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for it, your own refining included.")
    ] = 3600.0,
    cold: Annotated[bool, typer.Option("--cold", help="Without a worker.")] = False,
    json: AsJson = False,
) -> None:
    """Join as a newcomer, send a task vector, and leave with an adapter for your data.

    Example: fedlora deploy adopt newcomer --data mails.jsonl --out adapters/mails
    """
    from fedlora.runtime.deploy import place
    from fedlora.runtime.deploy.adopt import adopt as leave_with
    from fedlora.runtime.deploy.client import Party
    from fedlora.runtime.deploy.own import Own, look_at, read_data
    from fedlora.runtime.deploy.wish import Wish

    here = place.read(folder, "client")
    given = read_data([str(data)])[""]
    look_at(Path(given))
    atomic.check_new(out)
    party = Party(
        Own({}, model_folder(model), None, here.facts.shares),
        warm=not cold,
        wish=Wish(given, str(out.absolute()), text, label),
    )
    with until_stopped() as stopped:
        seconds = leave_with(here, party, patience, say, stopped)
    if not json:
        say(f"what it is worth on your data is in {out / 'README.md'}")
    show([{"folder": str(out), "seconds": round(seconds, 1)}], json)
