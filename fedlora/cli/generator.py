"""`fedlora generator`: learn adapters from a bank, without a federation."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.console import watching
from fedlora.cli.options import AsJson
from fedlora.cli.output import show

app = typer.Typer(help="Learn what adapters look like, given a task.", no_args_is_help=True)


@app.command("train")
def train(
    place: Annotated[
        Path, typer.Argument(help="The folder of adapters train, or of bank import --config.")
    ],
    options: Annotated[
        list[str] | None,
        typer.Argument(help="key=value over the configuration's generator section."),
    ] = None,
    rank: Annotated[
        int | None, typer.Option(help="Learn from adapters of this rank alone; all when absent.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Learn a generator from the bank; an interrupted one goes on from its last checkpoint.

    Example: fedlora generator train pipeline training.epochs=800
    """
    from fedlora import config as configuration
    from fedlora.pipeline.learn import train_generator
    from fedlora.pipeline.workshop import CONFIG, Workshop

    workshop = Workshop.open(place)
    overrides = [f"generator.{option}" for option in options or []]
    part = configuration.load(place / CONFIG, overrides).generator
    with watching() as observer:
        learned = train_generator(workshop, part, rank, observer)
    show([asdict(learned)], json, str(workshop.generator_folder))
