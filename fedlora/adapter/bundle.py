"""Several adapters of whatever ranks in one file, by name."""

import json
from collections.abc import Mapping

from fedlora import frame
from fedlora.adapter.lora import LoraAdapter
from fedlora.adapter.spec import AdapterSpec
from fedlora.errors import FedloraError

_KEY = "fedlora.specs"


def to_bytes(adapters: Mapping[str, LoraAdapter]) -> bytes:
    """One safetensors frame; equal adapters, equal bytes."""
    specs = {name: adapter.spec.to_json() for name, adapter in adapters.items()}
    values = {name: adapter.flatten() for name, adapter in adapters.items()}
    return frame.pack(values, _KEY, json.dumps(specs, sort_keys=True))


def from_bytes(data: bytes) -> dict[str, LoraAdapter]:
    """The inverse of `to_bytes`.

    Raises:
        FedloraError: the data is not such a frame, or a value in it is not finite.
    """
    tensors, metadata = frame.unpack(data, limit=len(data))
    specs = frame.read_json(metadata.get(_KEY, "null"))
    if not isinstance(specs, dict) or set(specs) != set(tensors):
        raise FedloraError("not a file of adapters")
    return {
        name: LoraAdapter.from_flat(AdapterSpec.from_json(str(text)), tensors[name])
        for name, text in specs.items()
    }
