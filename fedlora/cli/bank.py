"""`fedlora bank`: look into a bank, and carry adapters in and out."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.options import AsJson, BankPlace, SeedOption
from fedlora.cli.output import show
from fedlora.cli.place import find_record, folder_of, open_bank, settings_of

app = typer.Typer(help="Look into a bank, and carry adapters in and out.", no_args_is_help=True)


@app.command("list")
def list_records(place: BankPlace, seed: SeedOption = None, json: AsJson = False) -> None:
    """Check every adapter's file and list it: its task, client, round, sample, rank and digest."""
    bank = open_bank(place, seed)
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
    place: BankPlace,
    digest: Annotated[str, typer.Argument(help="The beginning of an adapter's digest.")],
    seed: SeedOption = None,
    json: AsJson = False,
) -> None:
    """Show one adapter: where it comes from, its metrics, and the size of its update by layer."""
    from fedlora.adapter.product import norm

    bank = open_bank(place, seed)
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
    place: BankPlace,
    folder: Annotated[Path, typer.Argument(help="Where the PEFT folders go.")],
    seed: SeedOption = None,
    json: AsJson = False,
) -> None:
    """Write every adapter as a PEFT folder, its task vector beside it."""
    from fedlora.backbone import load_base
    from fedlora.bank import export_peft

    base = load_base(settings_of(place).backbone)
    bank = open_bank(folder_of(place, seed) / "bank", None)
    paths = export_peft(bank, folder, base.reference, base.task_type)
    show([{"folder": str(path)} for path in paths], json)


@app.command("normalise")
def normalise_rows(
    place: BankPlace,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    rank: Annotated[
        int | None, typer.Option(help="Of the adapters; that of the configuration when absent.")
    ] = None,
    seed: SeedOption = None,
    json: AsJson = False,
) -> None:
    """Write a rank's adapters as rows on one scale, with what leads back, for other generators."""
    from fedlora.backbone import load_base
    from fedlora.bank.normalised import normalise

    config = settings_of(place)
    base = load_base(config.backbone)
    bank = open_bank(folder_of(place, seed) / "bank", None)
    chosen = config.lora.rank if rank is None else rank
    made = normalise(bank, chosen, out, base.reference, base.task_type)
    facts = {"rows": made.rows, "values": made.values, "relative error": made.error}
    named = {f"spread of {name}": spread for name, spread in made.spread.items()}
    show([{"what": key, "value": value} for key, value in (facts | named).items()], json)


@app.command("restore")
def restore_rows(
    normalised: Annotated[Path, typer.Argument(help="A folder that normalise wrote.")],
    out: Annotated[Path, typer.Option(help="Where the PEFT folders go, one a row.")],
    points: Annotated[
        Path | None,
        typer.Option(help="A safetensors file with one tensor 'points' (n, k); the bank's own."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Turn rows on the scale of normalise, such as another generator's, into PEFT folders."""
    from fedlora.adapter import peft_folder
    from fedlora.bank.normalised import ROWS, base_of, read_points, restore

    reference, task_type = base_of(normalised)
    adapters = restore(normalised, read_points(points or normalised / ROWS))
    rows = []
    for number, adapter in enumerate(adapters):
        folder = out / f"row-{number}"
        peft_folder.save(adapter, folder, reference, task_type, "Restored from a normalised row.")
        rows.append({"folder": str(folder), "digest": adapter.digest()})
    show(rows, json)
