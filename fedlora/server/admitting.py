"""Who is let into the bank, and who waits in quarantine."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count

from fedlora.adapter import LoraAdapter
from fedlora.bank import IMPORTED, Bank, Record, StoredRecord
from fedlora.bank.quarantine import FOLDER, Quarantine
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.verdicts import decided
from fedlora.server.vetting import Suspect, vet

PHASE = "screening"

Samples = Sequence[tuple[Record, LoraAdapter]]
Further = Callable[[Sequence[Described]], dict[int, str]]


def admit(
    context: ServerContext,
    bank: Bank,
    phase: str,
    members: Sequence[Described],
    samples: Callable[[Described], Samples],
    starts: Mapping[int, LoraAdapter],
    further: Further | None = None,
) -> None:
    """Put the answers of a phase into the bank, but for those that stand out.

    What is kept out is on the disk with its reason before its answer is given up. The verdicts are
    written down before that: a run that was killed between goes on with the same ones.

    Args:
        context: of the run.
        bank: where to.
        phase: which the answers belong to, in its round 0.
        members: those who answered, in the order of their clients.
        samples: what one of them gives to the bank.
        starts: what they trained on from, by client, where that is known.
        further: asked of those that do not stand out whom else to keep out, and why.
    """

    def judge() -> dict[int, str]:
        arrived = _arrived(members, samples, starts)
        reasons = vet(context.config.screening, arrived, in_bank(bank))
        if further is None or not context.config.screening.enabled:
            return reasons
        return reasons | further([m for m in members if m.seat.client not in reasons])

    verdicts = decided(context.journal, f"{PHASE} {phase}", 0, judge)
    context.observer.phase("bank", len(members))
    quarantine = Quarantine(context.folder / FOLDER)
    for member in members:
        client = member.seat.client
        reason = verdicts.get(client)
        for record, adapter in samples(member):
            if reason is None:
                bank.add(record, adapter, member.vector)
            else:
                quarantine.hold(record, adapter, member.vector, reason)
        if reason is not None:
            context.asker.refuse(phase, 0, client, f"in quarantine: {reason}")
        context.observer.advance()


def _arrived(
    members: Sequence[Described],
    samples: Callable[[Described], Samples],
    starts: Mapping[int, LoraAdapter],
) -> list[Suspect]:
    return [
        Suspect(
            client=member.seat.client,
            task=member.seat.task,
            vector=member.vector,
            start=starts.get(member.seat.client),
            read=partial(_adapters, samples, member),
        )
        for member in members
    ]


def _adapters(samples: Callable[[Described], Samples], member: Described) -> list[LoraAdapter]:
    return [adapter for _, adapter in samples(member)]


def _stored(bank: Bank, records: Sequence[StoredRecord]) -> list[LoraAdapter]:
    return [bank.load(record.digest) for record in records]


def in_bank(bank: Bank) -> list[Suspect]:
    """What is in a bank already: the samples of a client and round together, what is nobody's each
    by itself.
    """
    stored = bank.records()
    grouped = [[stored[at] for at in places] for places in together(stored)]
    return [
        Suspect(
            client=records[0].client,
            task=records[0].task,
            vector=bank.vector(records[0]),
            start=None,
            read=partial(_stored, bank, records),
        )
        for records in grouped
    ]


def together(records: Sequence[Record]) -> list[list[int]]:
    """The places of those that are judged as one: of one client and round, of nobody each alone."""
    groups: dict[tuple[str, int, int], list[int]] = {}
    nobody = count(IMPORTED, -1)
    for at, record in enumerate(records):
        client = record.client if record.client != IMPORTED else next(nobody)
        groups.setdefault((record.task, client, record.round), []).append(at)
    return list(groups.values())
