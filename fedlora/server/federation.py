"""The story of a run as the server lives it: describe, warm up, fine-tune, learn, serve, judge."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import torch

from fedlora import atomic
from fedlora.backbone import open_slot
from fedlora.bank import Bank
from fedlora.config import RunConfig
from fedlora.server.artefacts import write_adapters
from fedlora.server.asking import Asker
from fedlora.server.calling import call_roll
from fedlora.server.collecting import ROUNDS, collect
from fedlora.server.context import ENVELOPE_BYTES, ServerContext
from fedlora.server.describing import describe
from fedlora.server.export import export
from fedlora.server.growing import grow, starts
from fedlora.server.hardening import hardened
from fedlora.server.in_service import keep_in_service
from fedlora.server.journal import Journal
from fedlora.server.judging import judge
from fedlora.server.learning import digest, learn
from fedlora.server.observer import Observer
from fedlora.server.offering import Offering, neighbours
from fedlora.server.serving import make_candidates, serve
from fedlora.server.trial import hold_trial
from fedlora.server.warm_start import warm_start
from fedlora.wire.exchange import Transport


def federate(
    config: RunConfig, seed: int, transport: Transport, folder: Path, observer: Observer
) -> None:
    """Live one seed of a run from its first message to its table.

    Everything that was learned before, in the same folder, is taken from there: a run that was
    killed ends as if it had not been.

    Args:
        config: of the run.
        seed: one of its seeds.
        transport: reaches the clients.
        folder: of this seed; filled with bank, generator, adapters, ledger, metrics and table.
        observer: is told how far it is.

    Raises:
        FedloraError: too few clients answer, or what the folder holds cannot be used.
    """
    torch.set_num_threads(config.runtime.threads)  # sums depend on it, in their last bits
    journal = Journal(folder / "checkpoints" / "journal.sqlite")
    try:
        context = open_context(config, seed, transport, folder, observer, journal)
        bank = _live(context)
    finally:
        journal.keep_time()
        export(journal, folder)
        journal.close()
    _write_facts(context, bank.digest())


def _live(context: ServerContext) -> Bank:
    filling = [seat for seat in context.seats if seat.role == "bank"]
    screening = context.config.screening
    if screening.enabled and len(filling) < screening.least:
        context.observer.note(
            f"screening compares nobody: {len(filling)} clients fill the bank, and"
            f" screening.least={screening.least}"
        )
    members = describe(context, "describe", filling)
    warm = warm_start(context, members)
    start = warm.common if warm else None
    grown = grow(context, start, members)
    begun = starts(context, grown.generator, members) if grown else {}
    bank = collect(context, begun or (warm.starts if warm else {}), members)
    known = hardened(context, bank.training_bank(ROUNDS), None if begun else start)
    learned = learn(context, known)
    chosen = hold_trial(context, known, grown.bank if grown else None)
    if grown:
        learned["grown"] = grown.generator
    offering = Offering(
        learned,
        seed=context.seed,
        prompts=context.config.task_vector.prompts,
        rank=context.config.lora.rank,
        nearest=neighbours(context.config, known, context.folder),
        warm=start,
        chosen=chosen,
    )
    keep_in_service(context.config, context.folder, offering)
    arriving = [seat for seat in context.seats if seat.role == "newcomer"]
    newcomers = describe(context, "arrive", arriving) if arriving else []
    candidates = make_candidates(context, learned, start, newcomers) if newcomers else {}
    offering = replace(offering, candidates=candidates)
    reached = serve(context, offering, newcomers, bank)
    write_adapters(context, bank, offering, newcomers)
    judge(context, candidates, newcomers, reached)
    return bank


def open_context(
    config: RunConfig,
    seed: int,
    transport: Transport,
    folder: Path,
    observer: Observer,
    journal: Journal,
) -> ServerContext:
    """What the phases of one seed share; the arguments are those of `federate`."""
    spec = open_slot(config.backbone, config.lora, config.runtime.device).spec
    asker = Asker(transport, journal, config.rounds, observer, ENVELOPE_BYTES, config.retries)
    return ServerContext(
        config=config,
        seed=seed,
        folder=folder,
        seats=call_roll(config, asker),
        spec=spec,
        codec=config.codec.build(),
        journal=journal,
        asker=asker,
        observer=observer,
    )


def _write_facts(context: ServerContext, bank_digest: str) -> None:
    """facts.json: that the seed is finished, its sizes, and the hashes that equal runs share."""
    base = open_slot(context.config.backbone, context.config.lora, context.config.runtime.device)
    table = (context.folder / "table.json").read_bytes()
    facts = {
        "adapter_values": context.spec.size,
        "base_values": base.base.parameters,
        "bank_clients": sum(seat.role == "bank" for seat in context.seats),
        "newcomers": sum(seat.role == "newcomer" for seat in context.seats),
        "fingerprint": {
            "bank": bank_digest,
            "generator": digest(context.folder / "generator"),
            "table": hashlib.sha256(table).hexdigest(),
        },
    }
    atomic.write_text(context.folder / "facts.json", json.dumps(facts, indent=1))
