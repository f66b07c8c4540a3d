"""Bytes of a run by purpose, from the ledger of every seed."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedlora.report.run_folder import RunFolder

_ORDER = ("control", "task_vector", "statistics", "train", "adapter", "evaluation")


@dataclass(frozen=True)
class Purpose:
    """What some messages were for, and their serialised bytes over all seeds."""

    name: str
    up: int
    down: int
    messages: int


def purposes(run: RunFolder) -> list[Purpose]:
    """In the order of the story; empty without a ledger."""
    found: dict[str, dict[str, int]] = {}
    for seed in run.seeds:
        for record in seed.ledger:
            count = record.get("serialised")
            if not isinstance(count, int) or record.get("direction") not in ("up", "down"):
                continue
            name = str(record.get("purpose") or record.get("phase") or "other")
            sums = found.setdefault(name, {"up": 0, "down": 0, "messages": 0})
            sums[record["direction"]] += count
            sums["messages"] += 1
    order = sorted(found, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    return [Purpose(name, **found[name]) for name in order]


def total(run: RunFolder, of: Sequence[Purpose]) -> tuple[int, int] | None:
    """Bytes up and down: the run's own count, or the ledger's; None where nothing was counted."""
    if run.results.bytes is not None:
        return run.results.bytes.up, run.results.bytes.down
    return (sum(p.up for p in of), sum(p.down for p in of)) if of else None


def rivals(run: RunFolder) -> list[tuple[str, int]]:
    """What other ways would have sent for the same rounds; empty until the run has counted."""
    if run.results.bytes is None:
        return []
    named = (
        ("FedAvg of LoRAs", run.results.bytes.fedavg_lora),
        ("Full fine-tuning", run.results.bytes.full_finetuning),
    )
    return [(name, count) for name, count in named if count]
