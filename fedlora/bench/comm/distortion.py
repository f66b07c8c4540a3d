"""What a lossy codec sends of a value, beside the fewest bits that its error could have cost."""

import math
from collections.abc import Mapping
from statistics import mean
from typing import Any

import torch

from fedlora.adapter import AdapterSpec
from fedlora.adapter.parts import WHOLE
from fedlora.bench.comm.exactness import draw_near
from fedlora.config import CodecPart
from fedlora.wire import parcel
from fedlora.wire.codecs.contract import Codec


def bits_of(sections: Mapping[str, Any], spec: AdapterSpec) -> tuple[float, float | None]:
    """Bits a value of a random adapter, and the fewest, both as the mean of down and up.

    Values that are Gaussian with variance var, and arrive with a mean squared error D, take at
    least R(D) = 1/2 log2(var / D) bits each (Shannon 1959); of a difference, var is its own. None
    where nothing is lost, or what is lost is a product's and not the values' own.

    sections: `codec` of the configuration, and `codec_up` where answers travel by another.
    """
    ways = [sections["codec"], sections.get("codec_up", sections["codec"])]
    counted = [_one_way(CodecPart(**way).build(), spec) for way in ways]
    fewest = [least for _, least in counted if least is not None]
    return mean(sent for sent, _ in counted), mean(fewest) if len(fewest) == len(ways) else None


def _one_way(codec: Codec, spec: AdapterSpec) -> tuple[float, float | None]:
    adapter, near = draw_near(spec)
    data = parcel.pack(codec, adapter, WHOLE, near)
    sent = 8 * len(data) / spec.size
    if codec.measure == "product":
        return sent, None
    values = adapter.flatten().double()
    arrived = parcel.unpack(codec, data, WHOLE, adapter, near).flatten().double()
    lost = float(torch.mean((arrived - values) ** 2))
    if lost == 0:
        return sent, None
    source = values - near.flatten().double() if codec.relative else values
    return sent, max(0.5 * math.log2(float(torch.mean(source**2)) / lost), 0.0)
