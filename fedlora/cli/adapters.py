"""`fedlora adapters`: fine-tune adapters for a list of tasks, without a federation."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora import config as configuration
from fedlora.cli.console import watching
from fedlora.cli.options import AsJson
from fedlora.cli.output import show
from fedlora.errors import FedloraError

app = typer.Typer(help="Fine-tune adapters without a federation.", no_args_is_help=True)


@app.command("train")
def train(
    config: Annotated[Path, typer.Argument(help="A YAML file, such as those in configs/.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="section.key=value, over what the file says.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="The folder that gets the bank; given again, it goes on.")
    ] = Path("pipeline"),
    ranks: Annotated[
        str | None, typer.Option(help="Such as 1,2,4,8; lora.rank when absent.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="A task by its name; all of the bank when absent.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Train an adapter for every task at every rank; keep the last finetune.checkpoints of each.

    Example: fedlora adapters train configs/icm_lm.yaml --ranks 1,2,4,8 --out pipeline
    """
    from fedlora.pipeline.train import train_adapters
    from fedlora.pipeline.workshop import Workshop

    settings = configuration.load(config, overrides or [])
    wanted = [settings.lora.rank] if ranks is None else _ranks(ranks)
    workshop = Workshop.begin(settings, out)
    with watching() as observer:
        bank = train_adapters(workshop, wanted, task or [], observer)
    rows = [
        {
            "rank": rank,
            "tasks": len({record.task for record in mine}),
            "adapters": len(mine),
            "loss": sum(record.metrics.get("loss", 0.0) for record in mine) / len(mine),
        }
        for rank in wanted
        if (mine := [record for record in bank.records() if record.rank == rank])
    ]
    show(rows, json, f"{out / 'bank'}: validation loss")


def _ranks(text: str) -> list[int]:
    try:
        return [int(rank) for rank in text.split(",")]
    except ValueError:
        raise FedloraError(f"--ranks: '{text}' is no list of ranks; write 1,2,4,8") from None
