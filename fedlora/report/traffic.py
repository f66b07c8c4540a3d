"""Bytes of a run by purpose, from the ledger of every seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedlora.report.formats import size
from fedlora.report.run_folder import RunFolder

_ORDER = ("control", "task_vector", "statistics", "train", "adapter", "evaluation")


@dataclass(frozen=True)
class Purpose:
    """What some messages were for, and their bytes over all seeds.

    up, down: serialised, by direction.
    payload: of the tensors' values, in both directions.
    socket: that crossed the socket, in both directions; None unless all were counted.
    """

    name: str
    up: int
    down: int
    messages: int
    payload: int = 0
    socket: int | None = None


def purposes(run: RunFolder) -> list[Purpose]:
    """In the order of the story; empty without a ledger."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for seed in run.seeds:
        for record in seed.ledger:
            count = record.get("serialised")
            if not isinstance(count, int) or record.get("direction") not in ("up", "down"):
                continue
            name = str(record.get("purpose") or record.get("phase") or "other")
            found.setdefault(name, []).append(record)
    order = sorted(found, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    return [_purpose(name, found[name]) for name in order]


def three_ways(of: Sequence[Purpose]) -> tuple[int, int, int | None]:
    """Payload, serialised and socket bytes of all purposes; socket None unless all were counted."""
    payload, serialised = sum(p.payload for p in of), sum(p.up + p.down for p in of)
    return payload, serialised, _sum([p.socket for p in of])


def told(of: Sequence[Purpose]) -> str:
    """The three sums in a sentence."""
    text = "Serialised bytes of all clients and seeds together"
    payload, serialised, socket = three_ways(of)
    if serialised:
        text += f": {size(serialised)}, of which the values of tensors are {size(payload)}"
    if socket is not None:
        text += f"; {size(socket)} crossed the socket, framing and retries included"
    return text + "."


def _purpose(name: str, records: Sequence[Mapping[str, Any]]) -> Purpose:
    way = {"up": 0, "down": 0}
    for record in records:
        way[record["direction"]] += record["serialised"]
    payload = _sum([record.get("payload") for record in records])
    socket = _sum([record.get("socket") for record in records])
    return Purpose(name, **way, messages=len(records), payload=payload or 0, socket=socket)


def _sum(counts: Sequence[Any]) -> int | None:
    """None unless every count is one."""
    known = [count for count in counts if isinstance(count, int)]
    return sum(known) if known and len(known) == len(counts) else None


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
