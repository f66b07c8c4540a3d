"""The story of a run as the server lives it: describe, warm up, fine-tune, learn, serve, judge."""

import hashlib
import json
from pathlib import Path

from fedlora import atomic
from fedlora.backbone import open_slot
from fedlora.config import RunConfig
from fedlora.roster import seats
from fedlora.server.artefacts import write_adapters
from fedlora.server.asking import Asker
from fedlora.server.collecting import collect
from fedlora.server.context import ServerContext
from fedlora.server.describing import describe
from fedlora.server.journal import Journal
from fedlora.server.judging import judge
from fedlora.server.learning import digest, learn
from fedlora.server.observer import Observer
from fedlora.server.serving import make_candidates, serve
from fedlora.server.warm_start import warm_start
from fedlora.wire.exchange import Transport

# What an answer may hold beside the values of its adapters and its task vector.
ENVELOPE_BYTES = 4 << 20


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
    journal = Journal(folder / "checkpoints" / "journal.sqlite")
    try:
        _live(_context(config, seed, transport, folder, observer, journal))
    finally:
        journal.export(folder)
        journal.close()


def _live(context: ServerContext) -> None:
    members = describe(context, "describe", [s for s in context.seats if s.role == "bank"])
    warm = warm_start(context, members)
    bank = collect(context, warm, members)
    learned = learn(context, bank.training_bank())
    newcomers = describe(context, "arrive", [s for s in context.seats if s.role == "newcomer"])
    candidates = make_candidates(context, learned, warm, newcomers)
    serve(context, candidates, newcomers, bank)
    write_adapters(context, bank, candidates, newcomers)
    judge(context, candidates, newcomers)
    _write_facts(context, bank.digest())


def _context(
    config: RunConfig,
    seed: int,
    transport: Transport,
    folder: Path,
    observer: Observer,
    journal: Journal,
) -> ServerContext:
    spec = open_slot(config.backbone, config.lora, config.runtime.device).spec
    samples = config.finetune.checkpoints * config.finetune.repeats
    limit = ENVELOPE_BYTES + 8 * spec.size * samples
    asker = Asker(transport, journal, config.rounds, observer, limit)
    return ServerContext(
        config=config,
        seed=seed,
        folder=folder,
        seats=seats(config),
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
        "clients": len(context.seats),
        "fingerprint": {
            "bank": bank_digest,
            "generator": digest(context.folder / "generator"),
            "table": hashlib.sha256(table).hexdigest(),
        },
    }
    atomic.write_text(context.folder / "facts.json", json.dumps(facts, indent=1))
