"""Claim A4: what a message weighs beside the values that it carries."""

import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.bench.claims import plain_claim
from fedlora.config import CodecPart
from fedlora.results import Claim
from fedlora.wire.message import JSON, Message, encode, payload

SIZES = ((12, 768, 2), (12, 768, 8), (24, 768, 8), (48, 768, 16))
"""Blocks, width and rank."""


def message_claims() -> list[Claim]:
    """Payload as a share of the serialised message, for adapters of 100 KB and more."""
    claims = []
    for blocks, width, rank in SIZES:
        layers = tuple(LayerSpec(f"block.{i:02}.query", width, width, rank) for i in range(blocks))
        spec = AdapterSpec("0" * 64, layers, alpha=2.0 * rank)
        adapter = LoraAdapter.from_flat(spec, torch.ones(spec.size))
        for name in ("none", "int8"):
            data = CodecPart(name=name).build().encode(adapter)
            if len(data) < 100_000:
                continue
            meta: dict[str, JSON] = {"task": "t" * 32, "curve": [1.0]}
            message = Message("train", {"adapter.trained": data}, meta)
            share = payload(message) / len(encode(message))
            what = f"payload / serialised, {name}, {len(data) / 1e3:,.0f} KB"
            claims.append(plain_claim("A4", what, share, ">=", 0.99))
    return claims
