"""`fedlora bank coverage`: where a bank is thin, and which newcomer would help most."""

from dataclasses import asdict

from rich.console import Console

from fedlora.cli.options import AsJson, BankPlace, SeedOption
from fedlora.cli.output import show
from fedlora.cli.place import folder_of, open_bank, settings_of


def show_coverage(place: BankPlace, seed: SeedOption = None, json: AsJson = False) -> None:
    """List tasks by how well the bank knows what lies around them: newcomers, then its own.

    nearest is the squared distance to the nearest task of the bank, where 1 is usual; foretold the
    expected error of an adapter made from the others, and missed what it was; gain by how much the
    other newcomers' would fall if this one gave its adapter to the bank.
    """
    from fedlora.bank import Bank
    from fedlora.generators.coverage import calibration, survey

    alone, known = (place / "index.sqlite").is_file(), open_bank(place, seed).training_bank()
    if alone:
        spots = survey(known, None)
    else:
        folder = folder_of(place, seed) / "newcomers"
        arrived = Bank.open(folder).training_bank() if folder.is_dir() else None
        spots = survey(known, arrived, settings_of(place).task_vector.prompts)
    show([asdict(spot) for spot in spots], json)
    if not json and (agreement := calibration(spots)) is not None:
        line = f"rank correlation of foretold and real errors over the bank: {agreement:.2f}"
        Console(stderr=True).print(line, style="dim")
