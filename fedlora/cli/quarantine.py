"""`fedlora bank quarantine`: look at what was kept out of a bank, and decide."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.options import AsJson, Grown, SeedOption
from fedlora.cli.output import show
from fedlora.cli.place import folder_of, settled

if TYPE_CHECKING:
    from fedlora.bank.quarantine import Quarantine

app = typer.Typer(
    help="Look at adapters that were kept out of a bank, and decide.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The beginning of its name in the list.")]


@app.command("list")
def list_held(place: Grown, seed: SeedOption = None, json: AsJson = False) -> None:
    """List every adapter in quarantine: its name, its task, its client, and why it is there."""
    readable, damaged = _open(folder_of(place, seed)).contents()
    rows: list[dict[str, object]] = [
        {
            "name": held.name if json else held.name[:12],
            "task": held.record.task,
            "client": held.record.client,
            "round": held.record.round,
            "sample": held.record.sample,
            "reason": held.reason,
        }
        for held in readable
    ]
    unknown = dict.fromkeys(("task", "client", "round", "sample"))
    rows += [
        {"name": name if json else name[:12], **unknown, "reason": reason}
        for name, reason in damaged.items()
    ]
    show(rows, json)


@app.command("release")
def release(place: Grown, name: Name, seed: SeedOption = None, json: AsJson = False) -> None:
    """Let an adapter into the bank after all.

    In a folder of the pipeline `fedlora generator train` learns from it; a run has ended, and what
    it learned stays: export its bank into a folder of the pipeline.
    """
    from fedlora.bank import Bank

    with settled(place, seed) as folder:
        digest = _open(folder).release(name, Bank.open(folder / "bank"))
    show([{"released": digest}], json)


@app.command("drop")
def drop(place: Grown, name: Name, seed: SeedOption = None, json: AsJson = False) -> None:
    """Throw an adapter away."""
    show([{"dropped": _open(folder_of(place, seed)).drop(name)}], json)


def _open(folder: Path) -> "Quarantine":
    from fedlora.bank.quarantine import FOLDER, Quarantine

    return Quarantine(folder / FOLDER)
