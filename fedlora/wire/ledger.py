"""What every message cost, and what other ways would have cost."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from typing import Any, Literal, get_args

from fedlora import frame
from fedlora.errors import FedloraError

Direction = Literal["up", "down"]

RETRIES = "retries"
"""Purpose of what is sent again, in sums; its lines have the purpose of what was sent."""


@dataclass(frozen=True)
class Entry:
    """One message in one direction.

    phase: the part of a run it belongs to (warm start, fine-tuning, adoption, ...).
    direction: "up" from the client to the server, "down" the other way.
    purpose: the message's purpose.
    payload: bytes of the tensors' values.
    serialised: bytes of the whole frame.
    socket: bytes that crossed the socket, retries and framing included; None where there is none.
    status: "ok", or why the message did not count.
    """

    phase: str
    round: int
    client: int
    direction: Direction
    purpose: str
    payload: int
    serialised: int
    socket: int | None = None
    status: str = "ok"

    def to_line(self) -> str:
        """One line of JSON, without its line end."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> "Entry":
        """The inverse of `to_line`.

        Raises:
            FedloraError: the line is not an entry.
        """
        raw = frame.read_json(line)
        if not isinstance(raw, dict) or set(raw) != {field.name for field in fields(cls)}:
            raise FedloraError(f"not a ledger entry: {line.strip()!a:.80}")
        if not (
            all(_is_count(raw[key]) for key in ("round", "client", "payload", "serialised"))
            and (raw["socket"] is None or _is_count(raw["socket"]))
            and all(isinstance(raw[key], str) for key in ("phase", "purpose", "status"))
            and raw["direction"] in get_args(Direction)
        ):
            raise FedloraError(f"ledger entry with a value of the wrong type: {line.strip()!a:.80}")
        return cls(**raw)


@dataclass(frozen=True)
class Total:
    """The messages of one direction and purpose, those that failed included.

    socket: None unless every message's socket bytes were counted.
    """

    direction: Direction
    purpose: str
    messages: int
    payload: int
    serialised: int
    socket: int | None


def totals(entries: Iterable[Entry]) -> list[Total]:
    """Sums by direction ("up" first) and purpose, whatever the order of the entries.

    What was sent again, because no answer came, has a purpose of its own.
    """

    def place(entry: Entry) -> tuple[bool, str]:
        return entry.direction == "down", purpose_of(entry)

    return [_sum(list(group)) for _, group in groupby(sorted(entries, key=place), key=place)]


def purpose_of(entry: Entry) -> str:
    """What a message was for; `RETRIES` of one that had to be sent again."""
    return RETRIES if entry.direction == "down" and entry.status == "lost" else entry.purpose


def by_purpose(entries: Iterable[Entry]) -> dict[str, dict[str, dict[str, int | None]]]:
    """Purpose -> direction -> messages, payload, serialised and socket, as `totals` sums them."""
    found: dict[str, dict[str, dict[str, int | None]]] = {}
    for total in totals(entries):
        found.setdefault(total.purpose, {})[total.direction] = {
            "messages": total.messages,
            "payload": total.payload,
            "serialised": total.serialised,
            "socket": total.socket,
        }
    return found


@dataclass(frozen=True)
class Comparison:
    """Payload in bytes that federated averaging would have sent for the same rounds.

    lora: FedAvg of the adapters (FedIT, Zhang et al. 2023, arXiv 2305.05644).
    full: FedAvg of the whole model (McMahan et al. 2017, arXiv 1602.05629).
    """

    lora: int
    full: int


def comparison(spec_size: int, base_size: int, turns: int) -> Comparison:
    """What the same clients would have received and sent in the same rounds, in float32.

    Args:
        spec_size: trainable values of an adapter, its head included.
        base_size: values of the whole model.
        turns: how often a client takes part, over all clients and rounds.
    """
    both_ways = 2 * 4 * turns
    return Comparison(lora=both_ways * spec_size, full=both_ways * base_size)


def _sum(entries: list[Entry]) -> Total:
    sockets = [entry.socket for entry in entries if entry.socket is not None]
    return Total(
        direction=entries[0].direction,
        purpose=purpose_of(entries[0]),
        messages=len(entries),
        payload=sum(entry.payload for entry in entries),
        serialised=sum(entry.serialised for entry in entries),
        socket=sum(sockets) if len(sockets) == len(entries) else None,
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
