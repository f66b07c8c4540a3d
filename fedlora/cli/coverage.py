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
    from dataclasses import replace
    from pathlib import Path
    from tempfile import TemporaryDirectory

    import torch

    from fedlora.bank import Bank
    from fedlora.generators.coverage import calibration, coverage
    from fedlora.generators.kriging import Kriging, KrigingConfig

    known = open_bank(place, seed).training_bank()
    alone = (place / "index.sqlite").is_file()
    prompts = 1 if alone else settings_of(place).task_vector.prompts
    kriging = Kriging(KrigingConfig())
    seen = replace(known, conditions=kriging.sees(known.conditions, prompts))
    with TemporaryDirectory() as scratch:
        kriging.fit(seen, seed=0, workdir=Path(scratch), progress=lambda _: None)
    tasks, vectors = list[str](), torch.empty(0, seen.conditions.shape[1])
    if not alone and (arrived := folder_of(place, seed) / "newcomers").is_dir():
        others = Bank.open(arrived).training_bank()
        tasks, vectors = list(others.tasks), kriging.sees(others.conditions, prompts)
    spots = coverage(kriging, sorted(set(known.tasks)), tasks, vectors)
    show([asdict(spot) for spot in spots], json)
    if not json and (agreement := calibration(spots)) is not None:
        line = f"rank correlation of foretold and real errors over the bank: {agreement:.2f}"
        Console(stderr=True).print(line, style="dim")
