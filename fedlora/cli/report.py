"""Look at what a run, or the benches, found."""

import json as json_lines
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedlora.cli.options import AsJson, RunDir


def report(
    run: RunDir,
    tracker: Annotated[
        str | None, typer.Option(help="Log the run to swanlab, trackio or wandb too, offline.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write report/index.html of a run, its TensorBoard logs, and print its table."""
    from fedlora import report as reporting
    from fedlora.report import tensorboard, trackers

    page = reporting.build(run)
    for seed in sorted(run.glob("seed-*")):
        tensorboard.export(seed)
    if tracker is not None:
        trackers.send(run, tracker)
    if json:
        typer.echo(json_lines.dumps(reporting.as_json(run), indent=1))
        return
    Console().print(reporting.table(run))
    Console().print(f"report: {page}", soft_wrap=True, highlight=False)


def results(
    folder: Annotated[Path, typer.Argument(help="Where the benches wrote.")] = Path("results"),
    json: AsJson = False,
) -> None:
    """Print every claim of the benches: what was promised, what was measured."""
    from fedlora.cli.claims import show_claims
    from fedlora.results import read_all

    show_claims(read_all(folder), json, "claims")
