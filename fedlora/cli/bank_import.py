"""`fedlora bank import`: adapters from outside, into a bank."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.options import AsJson, DataOption, Grown, SeedOption, TaskOption, VectorOption
from fedlora.cli.output import show
from fedlora.cli.place import settings_of, settled
from fedlora.errors import FedloraError

if TYPE_CHECKING:
    from fedlora.bank import Bank
    from fedlora.config import RunConfig


def import_adapters(
    place: Grown,
    source: Annotated[
        Path,
        typer.Argument(
            help="A PEFT folder, a folder of those that export wrote, or a safetensors file, a"
            " flattened .pth of ICM-LoRA's, or a folder of such files."
        ),
    ],
    config: Annotated[
        Path | None, typer.Option(help="Begin a new folder of the pipeline with these settings.")
    ] = None,
    task: TaskOption = None,
    data: DataOption = None,
    task_vector: VectorOption = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(help="OLD=NEW: a beginning of layer names, in the file and in the model."),
    ] = None,
    seed: SeedOption = None,
    json: AsJson = False,
) -> None:
    """Add adapters to the bank: what export wrote, or files of one task.

    Whatever export did not write says nothing of its task: name it with --task, and say what it
    is by --data or --task-vector unless it is one of the configuration's own. What stands out
    beside the bank, as `screening` says, waits in quarantine.
    """
    from fedlora.adapter import peft_folder
    from fedlora.backbone import open_slot
    from fedlora.backbone.named_base import check_named_base
    from fedlora.bank import IMPORTED, Record, peft_arrivals, peft_folders, plain_arrivals
    from fedlora.client.own_task import describe
    from fedlora.pipeline.workshop import Workshop
    from fedlora.server.outsiders import let_in

    if config is not None:
        Workshop.begin(settings_of(config), place)
    settings = settings_of(place)
    folders = peft_folders(source)
    if task is None and (data is not None or task_vector is not None or rename):
        raise FedloraError("--task: name the task that the adapters are of")
    for folder in folders:
        if not (folder / peft_folder.SIDECAR).exists():  # which tells the base by its digest
            slot = open_slot(settings.backbone, settings.lora, settings.runtime.device)
            check_named_base(folder, settings.backbone, slot.base)
    with settled(place, seed) as home:
        bank = _open(place, home, settings)
        before = len(bank)
        if task is None:
            arrivals = peft_arrivals(bank, source)
        else:
            own = task if data is None and task_vector is None else None
            vector = describe(settings, own, data, vector=task_vector)
            if folders:
                arrivals = []
                for sample, folder in _samples(folders):
                    rank = max(s.rank for s in peft_folder.load(folder, bank.spec.base).spec.layers)
                    record = Record(task, IMPORTED, 0, sample, rank, 0, {})
                    arrivals += peft_arrivals(bank, folder, record, vector)
            else:
                arrivals = plain_arrivals(bank, source, task, vector, _renamed(rename or []))
        reasons = let_in(settings, home, bank, arrivals)
    judged = zip(arrivals, reasons, strict=True)
    show([{"digest": one.digest, "quarantine": reason} for one, reason in judged], json)
    new, held = len(bank) - before, sum(map(bool, reasons))
    typer.echo(f"{new} added, {len(arrivals) - new - held} there already", err=True)
    least = settings.screening.least
    if settings.screening.enabled and new and len(bank) < least:
        typer.echo(
            f"screening compared nobody: {len(bank)} are in the bank, and screening.least={least}",
            err=True,
        )
    if held:
        typer.echo(f"{held} kept out: see fedlora bank quarantine list {place}", err=True)


def _open(place: Path, home: Path, settings: "RunConfig") -> "Bank":
    """The bank in its folder; a new one takes adapters of what the settings adapt."""
    from fedlora.backbone import open_slot
    from fedlora.bank import Bank
    from fedlora.pipeline.workshop import is_workshop

    if not is_workshop(place):
        return Bank.open(home / "bank")
    slot = open_slot(settings.backbone, settings.lora, settings.runtime.device)
    return Bank.open(home / "bank", slot.spec, create=True)


def _samples(folders: Sequence[Path]) -> list[tuple[int, Path]]:
    """Folders of one task by the numbers in their names, as of checkpoints, or by their places."""
    from fedlora.bank import sample_number

    numbered = sorted((sample_number(folder), folder) for folder in folders)
    if len(folders) == 1 or len({number for number, _ in numbered}) < len(folders):
        return list(enumerate(folders))
    return numbered


def _renamed(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if pair.count("=") != 1:
            raise FedloraError(f"--rename: '{pair}': write it as OLD=NEW")
    return dict(pair.split("=") for pair in pairs)
