"""Adapters that somebody brings to a bank by hand: judged as those of clients are."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fedlora.adapter import LoraAdapter
from fedlora.bank import Arrival, Bank
from fedlora.bank.quarantine import FOLDER, Quarantine
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.server.admitting import in_bank
from fedlora.server.screening import screen
from fedlora.server.vetting import Suspect, vet


def let_in(config: RunConfig, folder: Path, bank: Bank, arrivals: Sequence[Arrival]) -> list[str]:
    """Put adapters into a bank; those that stand out beside it, or one another, into quarantine.

    Samples of one client, round and task are judged together. What the bank has already is not
    judged again.

    Args:
        config: its limits.
        folder: where the bank and its quarantine are.
        bank: where to.
        arrivals: what came.

    Returns:
        By arrival why it is in quarantine; an empty text for one that is in the bank.

    Raises:
        FedloraError: one can belong to no such bank, and then nothing is added.
    """
    there = {(record.key, record.digest) for record in bank.records()}
    new = [at for at, one in enumerate(arrivals) if (one.record.key, one.digest) not in there]
    for at in new:
        _check(arrivals[at], bank, config)
    groups: dict[tuple[str, int, int], list[int]] = {}
    for at in new:
        record = arrivals[at].record
        groups.setdefault((record.task, record.client, record.round), []).append(at)
    members = list(groups.values())
    suspects = [
        _suspect(number, [arrivals[at] for at in own]) for number, own in enumerate(members)
    ]
    verdicts = vet(config.screening, suspects, in_bank(bank))
    reasons = [""] * len(arrivals)
    for number, reason in verdicts.items():
        for at in members[number]:
            reasons[at] = reason
    quarantine = Quarantine(folder / FOLDER)
    for one, reason in zip(arrivals, reasons, strict=True):
        if reason:
            quarantine.hold(one.record, one.read(), one.vector, reason)
        else:
            bank.add(one.record, one.read(), one.vector)
    return reasons


def _check(one: Arrival, bank: Bank, config: RunConfig) -> None:
    """Refuse what no bank of this kind holds, whatever else is in it."""
    try:
        bank.check_vector(one.vector)
        if config.screening.enabled:
            screen(one.read(), bank.spec, config.rounds.max_norm)
    except FedloraError as error:
        raise FedloraError(f"'{one.record.task}', {one.digest[:12]}: {error}") from None


def _suspect(number: int, samples: Sequence[Arrival]) -> Suspect:
    first = samples[0]
    return Suspect(number, first.record.task, first.vector, None, partial(_adapters, samples))


def _adapters(samples: Sequence[Arrival]) -> list[LoraAdapter]:
    return [one.read() for one in samples]
