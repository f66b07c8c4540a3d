"""Every task's adapter as a PEFT folder, for use outside fedlora."""

import re
from hashlib import sha256

from fedlora.adapter import LoraAdapter, peft_folder
from fedlora.backbone import open_slot
from fedlora.server.bank import Bank, Record
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.serving import Candidates


def write_adapters(
    context: ServerContext, bank: Bank, candidates: Candidates, newcomers: list[Described]
) -> None:
    """adapters/TASK/: what each newcomer received, and each bank task's last sample.

    newcomers/ keeps what they received beside their task vectors, as a bank that nobody learns
    from: the report draws both on one map.
    """
    context.observer.phase("adapter folders", 1)
    policy = context.config.adoption.policy
    for record in bank.records():
        facts = f"Fine-tuned by client {record.client}."
        _write(context, record.task, bank.load(record.digest), facts)
    arrived = Bank.open(context.folder / "newcomers", context.spec, create=True)
    for newcomer in newcomers:
        seat, adapter = newcomer.seat, candidates[newcomer.seat.client][policy]
        rank = max(layer.rank for layer in adapter.spec.layers)
        handed = Record(seat.task, seat.client, 0, 0, rank, context.seed, {})
        arrived.add(handed, adapter, newcomer.vector)
        _write(context, seat.task, adapter, f"Handed to a newcomer; method: {policy}.")
    context.observer.advance()


def folder_name(task: str) -> str:
    """A file name for a task: readable, safe whatever the task is called, and its own."""
    readable = re.sub(r"[^A-Za-z0-9=.,_-]+", "_", task).strip("._")[:80] or "task"
    return readable if readable == task else f"{readable}-{sha256(task.encode()).hexdigest()[:8]}"


def _write(context: ServerContext, task: str, adapter: LoraAdapter, origin: str) -> None:
    base = open_slot(context.config.backbone, context.config.lora, context.config.runtime.device)
    peft_folder.save(
        adapter,
        context.folder / "adapters" / folder_name(task),
        base.base.reference,
        base.base.task_type,
        f"Task: {task}. {origin}",
    )
