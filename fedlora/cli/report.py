"""Look at what a run, or the benches, found."""

import json as json_lines
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedlora.cli.options import AsJson, RunDir
from fedlora.cli.output import show


def report(run: RunDir, json: AsJson = False) -> None:
    """Write report/index.html of a run and print its table."""
    from fedlora import report as reporting

    page = reporting.build(run)
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
    from fedlora.results import claims_table, read_all

    show(claims_table(read_all(folder)), json, "claims")
