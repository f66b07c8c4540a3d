"""`fedlora bank`: look into a run's bank, and carry adapters in and out."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.options import AsJson, RunDir, SeedOption
from fedlora.cli.output import show
from fedlora.cli.run_folder import find_record, open_bank
from fedlora.errors import FedloraError

# The client that adapters from outside the run are booked under: nobody's index.
IMPORTED = -1

app = typer.Typer(
    help="Look into a run's bank, and carry adapters in and out.", no_args_is_help=True
)


@app.command("list")
def list_records(run: RunDir, seed: SeedOption = None, json: AsJson = False) -> None:
    """Check every adapter's file and list it: its task, client, round, sample, rank and digest."""
    bank = open_bank(run, seed)
    bank.check()
    rows = [
        {
            "task": record.task,
            "client": record.client,
            "round": record.round,
            "sample": record.sample,
            "rank": record.rank,
            "digest": record.digest if json else record.digest[:12],
        }
        for record in bank.records()
    ]
    show(rows, json)


@app.command("show")
def show_record(
    run: RunDir,
    digest: Annotated[str, typer.Argument(help="The beginning of an adapter's digest.")],
    seed: SeedOption = None,
    json: AsJson = False,
) -> None:
    """Show one adapter: where it comes from, its metrics, and the size of its update by layer."""
    from fedlora.adapter.product import norm

    bank = open_bank(run, seed)
    record = find_record(bank, digest)
    adapter = bank.load(record.digest)
    facts = {
        "task": record.task,
        "client": record.client,
        "round": record.round,
        "sample": record.sample,
        "rank": record.rank,
        "seed": record.seed,
        "digest": record.digest,
        "values": adapter.spec.size,
        "layers": len(adapter.spec.layers),
        "norm of DeltaW": norm(adapter),
        "task vector values": len(bank.vector(record)),
        **record.metrics,
    }
    show([{"what": key, "value": value} for key, value in facts.items()], json)


@app.command("export")
def export(
    run: RunDir,
    folder: Annotated[Path, typer.Argument(help="Where the PEFT folders go.")],
    seed: SeedOption = None,
    json: AsJson = False,
) -> None:
    """Write every adapter as a PEFT folder, its task vector beside it."""
    from fedlora.backbone import load_base
    from fedlora.bank import export_peft
    from fedlora.runtime.run import resume

    base = load_base(resume(run).backbone)
    paths = export_peft(open_bank(run, seed), folder, base.reference, base.task_type)
    show([{"folder": str(path)} for path in paths], json)


@app.command("import")
def import_folders(
    run: RunDir,
    folder: Annotated[Path, typer.Argument(help="A PEFT folder, or a folder of them.")],
    task: Annotated[
        str | None, typer.Option(help="For one folder of plain PEFT: the name of its task.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="For one folder of plain PEFT: examples of its task.")
    ] = None,
    seed: SeedOption = None,
    json: AsJson = False,
) -> None:
    """Add adapters to the bank: what export wrote, or one folder of plain PEFT with its data."""
    from fedlora.adapter import peft_folder
    from fedlora.bank import Record, import_peft
    from fedlora.cli.own_task import open_task
    from fedlora.finetune.task_vector import task_vector
    from fedlora.runtime.run import resume

    bank, record, vector = open_bank(run, seed), None, None
    if task is not None and data is not None:
        config = resume(run)
        own = open_task(config, None, data)
        vector = task_vector(own.objective, own.describing, config.task_vector)
        spec = peft_folder.load(folder, bank.spec.base).spec
        rank = max(layer.rank for layer in spec.layers)
        record = Record(task, IMPORTED, 0, len(bank), rank, 0, {})
    elif task is not None or data is not None:
        raise FedloraError("an adapter of plain PEFT needs both --task and --data")
    digests = import_peft(bank, folder, record, vector)
    show([{"digest": digest} for digest in digests], json)
