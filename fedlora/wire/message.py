"""What travels between a client and the server: a few tensors and a little JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from torch import Tensor

from fedlora import frame
from fedlora.errors import FedloraError
from fedlora.spans import span

Purpose = Literal["control", "task_vector", "statistics", "train", "adapter", "evaluation"]
JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

_KEY = "fedlora.message"
_DEPTH = 16


@dataclass(frozen=True, eq=False)
class Message:
    """One message.

    purpose: what it is for, and under what the ledger counts it.
    tensors: values by name; float32, float16, bfloat16, int64, int32, int8 or uint8, finite.
    meta: JSON of at most 16 levels; integers of 64 bits, finite numbers, text without lone
        surrogates. A tuple arrives as a list.
    """

    purpose: Purpose
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    meta: Mapping[str, JSON] = field(default_factory=dict)


@span("serialisation")
def encode(message: Message) -> bytes:
    """One safetensors frame; equal messages, equal bytes.

    Raises:
        FedloraError: the message holds what `Message` says it cannot.
    """
    _check_purpose(message.purpose)
    _check_json(message.meta, _DEPTH)
    envelope = {"purpose": message.purpose, "meta": message.meta}
    text = json.dumps(envelope, sort_keys=True, separators=(",", ":"), default=dict)
    return frame.pack(message.tensors, _KEY, text)


@span("serialisation")
def decode(data: bytes, limit: int) -> Message:
    """The inverse of `encode`, for bytes from anybody.

    Args:
        data: one frame, and nothing after it.
        limit: the most bytes it may have, checked before any of it is read.

    Raises:
        FedloraError: the bytes are not a message, whole, finite and within the limit.
    """
    tensors, metadata = frame.unpack(data, limit)
    if set(metadata) != {_KEY}:
        raise FedloraError("frame is not a fedlora message: is the other side of this version?")
    envelope = frame.read_json(metadata[_KEY])
    if not isinstance(envelope, dict) or set(envelope) != {"purpose", "meta"}:
        raise FedloraError("message without its purpose and meta")
    _check_purpose(envelope["purpose"])
    if not isinstance(envelope["meta"], dict):
        raise FedloraError("message whose meta is not a JSON object")
    _check_json(envelope["meta"], _DEPTH)
    return Message(envelope["purpose"], tensors, envelope["meta"])


def payload(message: Message) -> int:
    """Bytes of the tensors' values alone, without names, shapes and meta."""
    return sum(tensor.numel() * tensor.element_size() for tensor in message.tensors.values())


def _check_purpose(purpose: Any) -> None:
    if purpose not in get_args(Purpose):
        known = ", ".join(get_args(Purpose))
        raise FedloraError(f"message of unknown purpose {purpose!a:.80}: choose one of {known}")


def _check_json(value: Any, depth: int) -> None:
    """Refuse what JSON cannot carry unchanged, or what would hurt whoever uses it."""
    if depth == 0:
        raise FedloraError(f"message's meta is nested deeper than {_DEPTH} levels")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise FedloraError(f"message's meta has the key {key!a:.80}, which is not text")
            _check_json(key, depth)
            _check_json(inner, depth - 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_json(inner, depth - 1)
    elif not _is_plain(value):
        raise FedloraError(f"message's meta cannot hold {value!a:.80}")


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    return value is None
