"""Parts of an adapter as bytes, by whatever codec, and back."""

from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.parts import WHOLE, Parts, part_shapes, put_parts, take_parts
from fedlora.wire.codecs.contract import Codec, check_finite, flat_bytes


def pack(codec: Codec, adapter: LoraAdapter, parts: Parts, near: LoraAdapter | None) -> Tensor:
    """The parts as (m,) uint8.

    near: an adapter of the same spec that both sides hold, for codecs that send differences.

    Raises:
        FedloraError: a value is not finite, or cannot be carried.
    """
    codec = _against(codec, parts, near)
    if parts == WHOLE:
        return codec.encode(adapter)
    values = check_finite(take_parts(adapter, parts))
    return codec.pack(values, part_shapes(adapter.spec, parts))


def unpack(
    codec: Codec, data: Tensor, parts: Parts, onto: LoraAdapter, near: LoraAdapter | None
) -> LoraAdapter:
    """An adapter with the parts that came; all others are those of `onto`.

    Raises:
        FedloraError: the data is not what the parts take, or holds NaN or infinity.
    """
    codec = _against(codec, parts, near)
    if parts == WHOLE:
        return codec.decode(data, onto.spec)
    values = codec.unpack(flat_bytes(data), part_shapes(onto.spec, parts))
    return put_parts(onto, parts, values)


def _against(codec: Codec, parts: Parts, near: LoraAdapter | None) -> Codec:
    return codec.against(take_parts(near, parts)) if near is not None and codec.relative else codec
