"""How far a run's bank reaches: what it foretells of tasks that are left out of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from markupsafe import Markup

from fedlora.bank import Bank
from fedlora.errors import FedloraError
from fedlora.generators.contract import TrainingBank
from fedlora.generators.coverage import Spot, calibration, survey
from fedlora.report.evenly import evenly
from fedlora.report.formats import decimal
from fedlora.report.plots.pairs import pairs
from fedlora.report.run_folder import SeedFolder

MOST = 300
"""Tasks that are looked at; of more, this many are taken evenly by name."""


@dataclass(frozen=True)
class Reach:
    """A drawing of foretold and real errors, and what they say of the newcomers."""

    about: str
    caption: str
    svg: Markup


def read(seed: SeedFolder, prompts: int) -> Reach | None:
    """The reach of one seed's bank; None where its tasks are too few or too alike to tell.

    Raises:
        FedloraError: the bank is damaged.
    """
    folder, arrived = seed.path / "bank", seed.path / "newcomers"
    if not (folder / "index.sqlite").is_file():
        return None
    known = _some(Bank.open(folder))
    others = (arrived / "index.sqlite").is_file()
    newcomers = _some(Bank.open(arrived)) if others else None
    try:
        spots = survey(known, newcomers, prompts)
    except FedloraError:
        return None  # a bank that kriging cannot learn from
    agreement = calibration(spots)
    if agreement is None:
        return None
    found = [(s.task, s.foretold, s.missed) for s in spots if s.missed is not None]
    alt = f"Foretold and real errors of {len(found)} tasks, rank correlation {agreement:.2f}"
    caption = (
        "Each task of the bank made from the others; squared errors of the update, in mean squared"
        " norms of the bank’s. What is foretold can be trusted as far as it agrees with what was"
        f" real: their rank correlation is {decimal(agreement, 2)}."
    )
    return Reach(_about(spots), caption, pairs(found, "foretold error", "real error", alt))


def _about(spots: Sequence[Spot]) -> str:
    """Where the bank is thin, and who would help."""
    known = [spot for spot in spots if spot.in_bank]
    outside = [spot for spot in spots if not spot.in_bank]
    said = [f"Of its own tasks the bank is least sure of \u201c{known[0].task}\u201d."]
    if outside:
        far = max(outside, key=lambda spot: spot.foretold)
        said.append(
            f"Of the newcomers it foretells \u201c{far.task}\u201d worst, with an error of"
            f" {decimal(far.foretold, 2)}."
        )
    if outside and outside[0].gain is not None:
        said.append(f"The adapter of \u201c{outside[0].task}\u201d would help it most.")
    return " ".join(said)


def _some(bank: Bank) -> TrainingBank:
    """The adapters of `MOST` tasks at most; no other is read."""
    records = bank.records()
    kept = set(evenly(sorted({record.task for record in records}), MOST))
    chosen = [record for record in records if record.task in kept]
    return TrainingBank(
        [bank.load(record.digest) for record in chosen],
        torch.stack([bank.vector(r) for r in chosen]) if chosen else torch.empty(0, 0),
        [record.task for record in chosen],
    )
