"""Bytes that decode to NaN."""

from dataclasses import replace

import torch
from typing_extensions import override

from fedlora.attacks.contract import Attack
from fedlora.section import Section
from fedlora.wire.message import decode, encode


class NanBombConfig(Section):
    """No options."""


class NanBomb(Attack):
    """Every byte of every encoded adapter is 0xff: NaN in float32, float16 and bfloat16."""

    Config = NanBombConfig

    @override
    def frame(self, frame: bytes) -> bytes:
        message = decode(frame, len(frame))
        bad = {
            name: torch.full_like(tensor, 255) if tensor.dtype == torch.uint8 else tensor
            for name, tensor in message.tensors.items()
        }
        return encode(replace(message, tensors=bad))
