"""A header that promises far more than follows."""

import json

from pydantic import Field
from typing_extensions import override

from fedlora.attacks.contract import Attack
from fedlora.section import Section

_METADATA = "__metadata__"


class ShapeBombConfig(Section):
    """values: how many a tensor is said to hold."""

    values: int = Field(1 << 40, gt=0)


class ShapeBomb(Attack):
    """A safetensors header whose first tensor has an enormous shape and matching offsets."""

    Config = ShapeBombConfig

    @override
    def frame(self, frame: bytes) -> bytes:
        size = int.from_bytes(frame[:8], "little")
        header = json.loads(frame[8 : 8 + size])
        names = sorted(set(header) - {_METADATA})
        if not names:
            return frame
        header[names[0]] |= {"shape": [self.config.values], "data_offsets": [0, self.config.values]}
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + frame[8 + size :]
