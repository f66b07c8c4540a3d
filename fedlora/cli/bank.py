"""`fedlora bank`: look into a run's bank, and carry adapters in and out."""

import typer

from fedlora.cli.output import AsJson, show
from fedlora.cli.run_folder import RunDir, SeedOption, open_bank

app = typer.Typer(
    help="Look into a run's bank, and carry adapters in and out.", no_args_is_help=True
)


@app.command("list")
def list_records(run: RunDir, seed: SeedOption = None, json: AsJson = False) -> None:
    """List every adapter: its task, client, round, sample, rank and digest."""
    rows = [
        {
            "task": record.task,
            "client": record.client,
            "round": record.round,
            "sample": record.sample,
            "rank": record.rank,
            "digest": record.digest if json else record.digest[:12],
        }
        for record in open_bank(run, seed).records()
    ]
    show(rows, json)
