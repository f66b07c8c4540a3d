"""One safetensors frame, written the same every time and read without trust."""

import json
import math
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from fedlora.errors import FedloraError

HEADER_LIMIT = 1 << 20
"""Bytes of a header: names, shapes and metadata. 2,000 tensors fit."""

_DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I8": torch.int8,
    "U8": torch.uint8,
}
_METADATA = "__metadata__"


def pack(tensors: Mapping[str, Tensor], key: str, value: str) -> bytes:
    """A safetensors file with one metadata entry: equal inputs, equal bytes.

    One entry only, because safetensors writes several in an order that changes from run to run.

    Raises:
        FedloraError: a tensor is of a dtype outside the whitelist or not finite, a name is
            reserved, or the header is larger than `HEADER_LIMIT`.
    """
    if _METADATA in tensors:
        raise FedloraError(f"'{_METADATA}' cannot name a tensor: choose another name")
    _check_values(tensors)
    # Clones, since safetensors refuses views of one storage.
    own = {
        name: t.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, t in tensors.items()
    }
    frame = safetensors.torch.save(own, metadata={key: value})
    _header_size(frame)
    return frame


def unpack(frame: bytes, limit: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a frame that anybody may have sent.

    Nothing is allocated beyond a small multiple of the frame's own length, and no length, name,
    shape or dtype in it is believed before it is checked.

    Args:
        frame: a safetensors file.
        limit: the most bytes it may have, checked before any of it is read.

    Raises:
        FedloraError: the frame is too long, not whole, not safetensors, of a dtype outside the
            whitelist, or holds NaN or infinity.
    """
    if len(frame) > limit:
        raise FedloraError(f"frame of {len(frame)} bytes, more than the {limit} allowed")
    header = read_json(_text(frame[8 : 8 + _header_size(frame)]))
    if not isinstance(header, dict):
        raise FedloraError("frame's header is not a JSON object")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FedloraError("frame's metadata is not text by name")
    for name, entry in header.items():
        _check_entry(name, entry)
    try:
        tensors = safetensors.torch.load(frame)
    except SafetensorError as error:
        raise FedloraError(f"frame is damaged: {' '.join(str(error).split())}") from None
    _check_values(tensors)
    return tensors, metadata


def read_json(text: str) -> Any:
    """JSON with no repeated key, no NaN and no infinity, however deep the nesting tried.

    Raises:
        FedloraError: the text is anything else.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise FedloraError(f"not valid JSON: {reason}") from None


def _header_size(frame: bytes) -> int:
    size = int.from_bytes(frame[:8], "little")
    if len(frame) < 8 or size > len(frame) - 8:
        raise FedloraError(f"frame of {len(frame)} bytes is cut short")
    if size > HEADER_LIMIT:
        raise FedloraError(f"frame's header of {size} bytes, more than the {HEADER_LIMIT} allowed")
    return size


def _check_entry(name: str, entry: Any) -> None:
    """Refuse what safetensors would pass on to torch and torch would stumble over."""
    shape = entry.get("shape") if isinstance(entry, dict) else None
    if not isinstance(shape, list) or entry.get("dtype") not in list(_DTYPES):
        raise FedloraError(f"frame's tensor {name!a:.80} is not of {', '.join(_DTYPES)}")
    if len(shape) > 8 or not all(type(d) is int and 0 <= d < 1 << 31 for d in shape):
        raise FedloraError(f"frame's tensor {name!a:.80} has an impossible shape")


def _check_values(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES.values():
            raise FedloraError(f"tensor {name!a:.80} is {tensor.dtype}, which is never sent")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise FedloraError(f"tensor {name!a:.80} holds NaN or infinity")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FedloraError("frame's header is not UTF-8") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key stands twice")
    return out


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value
