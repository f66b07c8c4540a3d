"""Every adapter as a PEFT folder, for use outside fedlora."""

import shutil

from fedlora.adapter import LoraAdapter, peft_folder
from fedlora.adoption.chosen import CHOSEN
from fedlora.backbone import open_slot
from fedlora.bank import Bank, Record
from fedlora.bank.folders import card_facts
from fedlora.bank.naming import folder_name
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.in_service import policy_in_service
from fedlora.server.offering import Offering


def write_adapters(
    context: ServerContext,
    bank: Bank,
    offering: Offering,
    newcomers: list[Described],
) -> None:
    """adapters/: a folder for every adapter of the bank and for what each newcomer received.

    What newcomers make of it with labels of their own is not the server's to know: where they
    choose by them, here is what they would receive without.

    newcomers/ keeps the same beside their task vectors, as a bank that nobody learns from: the
    report draws both on one map.
    """
    records = bank.records()
    context.observer.phase("adapter folders", len(records) + len(newcomers))
    for leftover in (context.folder / "adapters").glob(".*.part"):
        shutil.rmtree(leftover)  # of a process that was killed while it wrote one
    for record in records:
        name = folder_name(
            f"{record.task}.client-{record.client}.round-{record.round}.sample-{record.sample}"
        )
        _write(context, name, bank.load(record.digest), card_facts(record))
    arrived = Bank.open(context.folder / "newcomers", context.spec, create=True)
    policy = policy_in_service(context.config, labels=False)
    for newcomer in newcomers:
        seat, offer = newcomer.seat, offering.make(policy, newcomer.vector, newcomer.seat.client)
        ((name, adapter),) = offer.adapters.items()
        rank = max(layer.rank for layer in adapter.spec.layers)
        handed = Record(seat.task, seat.client, 0, 0, rank, context.seed, {})
        arrived.add(handed, adapter, newcomer.vector)
        method = offering.chosen if name == CHOSEN else name
        facts = f"Task: {seat.task}. Made for a newcomer; method: {method}.{_left_out(context)}"
        _write(context, folder_name(seat.task), adapter, facts)


def _left_out(context: ServerContext) -> str:
    """What a newcomer's folder does not hold."""
    adoption = context.config.adoption
    if adoption.refine == "never" and not adoption.policy.build().needs_labels:
        return ""
    return f" What its labels made of the run's offer, by {adoption.title}, is not here."


def _write(context: ServerContext, name: str, adapter: LoraAdapter, facts: str) -> None:
    slot = open_slot(context.config.backbone, context.config.lora, context.config.runtime.device)
    folder = context.folder / "adapters" / name
    peft_folder.save(adapter, folder, slot.base.reference, slot.base.task_type, facts)
    context.observer.advance()
