"""`fedlora deploy`: a federation over several machines."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedlora.cli.options import AsJson, LabelOption, RunDir, TextOption
from fedlora.cli.output import show
from fedlora.errors import FedloraError

app = typer.Typer(help="A federation over several machines.", no_args_is_help=True)

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


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder for all that is written.")],
    hosts: Annotated[
        list[str],
        typer.Option("--hosts", help="The server's names and addresses; clients use the first."),
    ],
    clients: Annotated[int, typer.Option(min=1, help="Machines of clients.")] = 2,
    name: Annotated[str, typer.Option(help="What the federation is called.")] = "federation",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port clients use.")] = 9000,
    control_port: Annotated[
        int, typer.Option(min=1, max=65535, help="For the server's own loopback.")
    ] = 9001,
    model: Annotated[
        str | None, typer.Option(help="The base model, whose hash both sides then compare.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Without TLS and keys, on the loopback alone.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Write certificates, keys, starters and a README for a server and its clients.

    Example: fedlora deploy init federation --clients 2 --hosts server.example --hosts 10.0.0.1
    """
    from fedlora.runtime.deploy.initialise import initialise

    base = None
    if model is not None:
        from fedlora.backbone import load_base
        from fedlora.config import BackboneConfig

        base = (model, load_base(BackboneConfig(name=model)).digest)
    places = initialise(folder, name, hosts, clients, port, control_port, not insecure, base)
    show([_row(place.folder, place.facts.role) for place in places], json)
    if not json:
        _say(f"read {folder / 'README.md'} next")


@app.command()
def invite(
    folder: Annotated[Path, typer.Argument(help="The folder that `deploy init` wrote.")],
    name: Annotated[str, typer.Argument(help="What the newcomer's folder is called.")],
    json: AsJson = False,
) -> None:
    """Make a key for one more client, such as a newcomer; a running server lets it in.

    Where the server runs elsewhere, copy the new file in server/nodes/ there.
    """
    from fedlora.runtime.deploy.initialise import invite as invite_one

    place = invite_one(folder, name)
    show([_row(place.folder, place.facts.role)], json)


@app.command()
def server(
    folder: PlaceArgument = Path(),
    bind: Annotated[
        str | None, typer.Option(envvar="FEDLORA_BIND", help="The address to listen at.")
    ] = None,
) -> None:
    """Run the server: a SuperLink behind a port that is open to invited clients alone."""
    from fedlora.runtime.deploy import place
    from fedlora.runtime.deploy.server import run_server

    here = place.read(folder, "server")
    with _until_stopped() as done:
        run_server(here, bind or ("0.0.0.0" if here.facts.secure else "127.0.0.1"), _say, done)


@app.command()
def client(
    folder: PlaceArgument = Path(),
    data: DataOption = None,
    model: ModelOption = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="Without a worker: less memory, some seconds a message.")
    ] = False,
) -> None:
    """Take part as a client: a SuperNode, and a worker that keeps the base model and the data.

    Example: fedlora deploy client federation --data reviews.jsonl
    """
    from fedlora.runtime.deploy import place
    from fedlora.runtime.deploy.client import Party, run_client
    from fedlora.runtime.deploy.own import Own, read_data

    here = place.read(folder, "client")
    own = Own(read_data(data or []), _model(model), here.facts.share, here.facts.shares)
    with _until_stopped() as done:
        run_client(here, Party(own, warm=not cold), _say, done)


@app.command()
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
    from fedlora.cli.report import report
    from fedlora.runtime import run as running
    from fedlora.runtime.deploy import place
    from fedlora.runtime.deploy import submit as submitting

    here = place.read(at, "server")
    if (config is None) == (resume is None):
        raise FedloraError("name a configuration, or --resume a run: one of the two")
    submitting.connect(here)
    if resume is None:
        assert config is not None
        settings = configuration.load(config, [*submitting.settings_for(here), *(overrides or [])])
        folder = run_folder.create(settings, submitting.runs(here))
    else:
        folder = resume
        settings = submitting.resumed(folder)
    Console(stderr=True).print(f"run folder: {folder}", soft_wrap=True, highlight=False)
    with watching() as observer:
        running.run(settings, folder, observer)
    report(folder, json=json)


@app.command()
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
    submitting.connect(here)
    try:
        submitting.serve(here, run, seconds, _say)
    except KeyboardInterrupt:
        _say("stopped")


@app.command()
def adopt(
    folder: PlaceArgument,
    data: Annotated[Path, typer.Option(help="Your data: JSONL, CSV, Parquet, or a folder.")],
    out: Annotated[Path, typer.Option(help="The PEFT folder to leave with.")],
    text: TextOption = None,
    label: LabelOption = None,
    model: ModelOption = None,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for it.")] = 600.0,
    cold: Annotated[bool, typer.Option("--cold", help="Without a worker.")] = False,
    json: AsJson = False,
) -> None:
    """Join as a newcomer, send a task vector, and leave with an adapter for your data.

    Example: fedlora deploy adopt newcomer --data mails.jsonl --out adapters/mails
    """
    from fedlora.runtime.deploy import place
    from fedlora.runtime.deploy.adopt import adopt as leave_with
    from fedlora.runtime.deploy.client import Party
    from fedlora.runtime.deploy.own import Own, read_data
    from fedlora.runtime.deploy.wish import Wish

    here = place.read(folder, "client")
    given = read_data([str(data)])[""]
    if out.exists():
        raise FedloraError(f"{out}: exists already; name another folder")
    party = Party(
        Own({}, _model(model), None, here.facts.shares),
        warm=not cold,
        wish=Wish(given, str(out.absolute()), text, label),
    )
    with _until_stopped() as stopped:
        seconds = leave_with(here, party, patience, _say, stopped)
    show([{"folder": str(out), "seconds": round(seconds, 1)}], json)


@app.command()
def status(at: PlaceArgument = Path(), json: AsJson = False) -> None:
    """Show who is connected, and how far the latest run is; on the server's machine."""
    from fedlora import run_folder
    from fedlora.runtime.deploy import place
    from fedlora.runtime.deploy import submit as submitting
    from fedlora.runtime.deploy.control import control
    from fedlora.server.progress import progress

    here = place.read(at, "server")
    with control(here) as superlink:
        nodes = [
            {"client": node.name or str(node.id), "status": node.status, "since": node.since}
            for node in superlink.nodes()
        ]
    run = submitting.newest(here)
    rows = []
    if run is not None:
        for seed in run_folder.resume(run).seeds:
            stands = asdict(progress(run_folder.seed_folder(run, seed)))
            done = (run_folder.seed_folder(run, seed) / "facts.json").is_file()
            rows.append({"run": run.name, "seed": seed, "done": done, **stands})
    if json:
        show([{"clients": nodes, "runs": rows}], json)
        return
    show(nodes, json, "clients")
    show(rows, json, "the latest run")


@app.command()
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

    read_data(data or [])
    found = examine(place.read_any(folder), _model(model))
    show([asdict(finding) for finding in found], json)
    if wrong := [finding.check for finding in found if not finding.fine]:
        raise FedloraError(f"not fit to run: {', '.join(wrong)}")


def _row(folder: Path, role: str) -> dict[str, str]:
    return {"role": role, "folder": str(folder)}


def _model(path: Path | None) -> str | None:
    """A folder by its whole path, for processes that work elsewhere; a name as it is."""
    if path is None or str(path) in ("", "."):
        return None
    folder = path.expanduser()
    return str(folder.absolute()) if folder.exists() else str(path)


def _say(text: str) -> None:
    Console(stderr=True).print(text, soft_wrap=True, highlight=False, markup=False)


@contextmanager
def _until_stopped() -> Iterator[Callable[[], bool]]:
    """A question that is answered with yes once Ctrl-C or SIGTERM has come."""
    stopped = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stopped.set()) for number in numbers]
    try:
        yield stopped.is_set
        _say("stopped")
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
