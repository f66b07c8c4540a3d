"""Adapters that somebody brings to a bank by hand: judged as those of clients are."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from fedlora.adapter import LoraAdapter
from fedlora.bank import Arrival, Bank
from fedlora.bank.quarantine import FOLDER, Quarantine
from fedlora.config import RunConfig, ScreeningConfig
from fedlora.errors import FedloraError
from fedlora.server.admitting import in_bank, together
from fedlora.server.screening import screen
from fedlora.server.vetting import Suspect, copied, vet

_Key = tuple[str, int, int, int, int]


def let_in(config: RunConfig, folder: Path, bank: Bank, arrivals: Sequence[Arrival]) -> list[str]:
    """Put adapters into a bank; those that stand out beside it, or one another, into quarantine.

    What one client sent in one round is judged together, what is nobody's each by itself, a quarter
    as many at a time as the bank holds, beside the bank as it was. What the bank or the quarantine
    holds already is not judged again.

    Args:
        config: its limits.
        folder: where the bank and its quarantine are.
        bank: where to.
        arrivals: what came.

    Returns:
        By arrival why it is in quarantine; an empty text for one that is in the bank.

    Raises:
        FedloraError: one can belong to no such bank, or not beside the others, and then nothing is
            added; or its file has changed since it was judged.
    """
    quarantine = Quarantine(folder / FOLDER)
    there = {record.key: record.digest for record in bank.records()}
    _check(arrivals, bank, there, config)
    reasons = [quarantine.reason(one.record, one.digest) for one in arrivals]
    new = [
        at for at, one in enumerate(arrivals) if reasons[at] is None and one.record.key not in there
    ]
    groups = together([arrivals[at].record for at in new])
    members = [[new[place] for place in own] for own in groups]
    suspects = [_suspect(n, [arrivals[at] for at in own]) for n, own in enumerate(members)]
    for number, reason in _stand_out(config.screening, suspects, in_bank(bank)).items():
        for at in members[number]:
            reasons[at] = reason
    for one, why in zip(arrivals, reasons, strict=True):
        adapter = one.read()
        if adapter.digest() != one.digest:
            raise FedloraError(f"{_name(one)}: its file has changed: import it again")
        if why is None:
            bank.add(one.record, adapter, one.vector)
        else:
            quarantine.hold(one.record, adapter, one.vector, why)
    return [why or "" for why in reasons]


def _stand_out(
    config: ScreeningConfig, suspects: Sequence[Suspect], known: Sequence[Suspect]
) -> dict[int, str]:
    """Whom to keep out, a quarter as many judged at a time as are known, and beside these alone, so
    that no crowd of strangers decides what is usual; where too few are known, all together.
    """
    if len(known) < config.least:
        return vet(config, suspects, known)
    many, reasons = len(known) // 4, dict[int, str]()
    for at in range(0, len(suspects), many):
        reasons |= vet(config, suspects[at : at + many], known)
    if config.enabled:
        left = [one for one in suspects if one.client not in reasons]
        reasons |= copied(left)
    return reasons


def _check(
    arrivals: Sequence[Arrival], bank: Bank, there: Mapping[_Key, str], config: RunConfig
) -> None:
    """Refuse what no bank of this kind holds, or not beside what is there and the others."""
    keys = dict(there)
    for one in arrivals:
        try:
            bank.check_vector(one.vector)
            if one.vector.shape != arrivals[0].vector.shape:
                raise FedloraError(f"a task vector of {len(one.vector)} values, unlike the first")
            if keys.setdefault(one.record.key, one.digest) != one.digest:
                raise FedloraError("another adapter of the same number: give it another name")
            adapter = one.read()
            bank.check_rank(one.record, adapter)
            if config.screening.enabled:
                screen(adapter, bank.spec, config.rounds.max_norm)
        except FedloraError as error:
            raise FedloraError(f"{_name(one)}: {error}") from None


def _name(one: Arrival) -> str:
    return f"'{one.record.task}', {one.digest[:12]}"


def _suspect(number: int, samples: Sequence[Arrival]) -> Suspect:
    first = samples[0]
    return Suspect(number, first.record.task, first.vector, None, partial(_adapters, samples))


def _adapters(samples: Sequence[Arrival]) -> list[LoraAdapter]:
    return [one.read() for one in samples]
