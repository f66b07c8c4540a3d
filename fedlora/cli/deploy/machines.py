"""Machines of a federation: their folders, the server, the clients."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.deploy.options import (
    DataOption,
    ModelOption,
    PlaceArgument,
    model_folder,
    say,
    until_stopped,
)
from fedlora.cli.options import AsJson
from fedlora.cli.output import show


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
        int, typer.Option(min=1, max=65535, help="For the server's own loopback; not --insecure.")
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
        say(f"read {folder / 'README.md'} next")


def invite(
    folder: Annotated[Path, typer.Argument(help="The folder that `deploy init` wrote.")],
    name: Annotated[str, typer.Argument(help="What the newcomer's folder is called.")],
    instead_of: Annotated[
        str | None, typer.Option(help="A revoked client, whose share of a run it is to carry.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Make a key for one more client, such as a newcomer; a running server lets it in.

    Where the server runs elsewhere, copy the new file in server/nodes/ there.
    """
    from fedlora.runtime.deploy.initialise import invite as invite_one

    place = invite_one(folder, name, instead_of)
    show([_row(place.folder, place.facts.role)], json)


def revoke(
    folder: Annotated[Path, typer.Argument(help="The federation's folder, or the server's.")],
    name: Annotated[str, typer.Argument(help="Whose key opens nothing any more.")],
    json: AsJson = False,
) -> None:
    """Take back a client's key; a running server puts the client out.

    Where the server runs elsewhere, run it there, or copy the file that it names there.
    """
    from fedlora.runtime.deploy.initialise import revoke as revoke_one

    show([{"revoked": name, "file": str(revoke_one(folder, name))}], json)


def renew(
    folder: Annotated[Path, typer.Argument(help="The folder that `deploy init` wrote.")],
    json: AsJson = False,
) -> None:
    """Sign a new certificate for the server, by the same authority; clients need nothing new.

    Where the server runs elsewhere, copy server/server.pem and server/server.key there.
    """
    from fedlora.runtime.deploy.initialise import renew as renew_server

    place = renew_server(folder)
    show([_row(place.folder, place.facts.role)], json)


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
    with until_stopped() as done:
        run_server(here, bind or ("0.0.0.0" if here.facts.secure else "127.0.0.1"), say, done)


def client(
    folder: PlaceArgument = Path(),
    data: DataOption = None,
    model: ModelOption = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="Without a worker: less memory, some seconds a message.")
    ] = False,
) -> None:
    """Take part as a client: a SuperNode, and a worker that keeps the base model and the data.

    Example: fedlora deploy client federation/clients/client-0 --data reviews.jsonl
    """
    from fedlora.runtime.deploy import place
    from fedlora.runtime.deploy.client import Party, run_client
    from fedlora.runtime.deploy.own import Own, look_at, read_data

    here = place.read(folder, "client")
    given = read_data(data or [])
    for path in given.values():
        look_at(Path(path))
    own = Own(given, model_folder(model), here.facts.share, here.facts.shares)
    with until_stopped() as done:
        run_client(here, Party(own, warm=not cold), say, done)


def _row(folder: Path, role: str) -> dict[str, str]:
    return {"role": role, "folder": str(folder)}
