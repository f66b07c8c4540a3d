"""Whatever another codec makes, compressed without loss."""

from typing import Literal, Self

import torch
import zstandard
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.config import CodecPart
from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.wire.codecs.contract import Codec, Shapes, flat_bytes, shapes_of

_PIECE = 64
"""Bytes decompressed at a time: no more than 2 MiB can come of them."""

_WINDOW = 1 << 23


class ZstdConfig(Section):
    """How hard to try, and on what.

    level: of Zstandard; above 19 its window outgrows what is decoded.
    planes: bytes a value of the inner codec; first bytes of all values are put together, then
        second bytes, so that signs and exponents lie beside each other. 1 leaves them be.
    inner: what is compressed.
    """

    level: int = Field(9, ge=1, le=19)
    planes: Literal[1, 2, 4] = 1
    inner: CodecPart = Field(default_factory=lambda: CodecPart(name="int8"))


class Zstd(Codec):
    """One Zstandard frame (RFC 8878) with a checksum and without its length.

    Adds no error. A frame is decompressed in small pieces, and no further than the inner codec's
    longest data.
    """

    Config = ZstdConfig

    def __init__(self, config: ZstdConfig) -> None:
        super().__init__(config)
        self.inner: Codec = config.inner.build()
        self.measure = self.inner.measure
        self.feedback, self.relative = self.inner.feedback, self.inner.relative

    @override
    def against(self, reference: Tensor) -> Self:
        bound = type(self)(self.config)
        bound.inner = self.inner.against(reference)
        return bound

    @override
    def encode(self, adapter: LoraAdapter) -> Tensor:
        return self._press(self.inner.encode(adapter))

    @override
    def decode(self, data: Tensor, spec: AdapterSpec) -> LoraAdapter:
        most = self.inner.most(shapes_of(spec))
        return self.inner.decode(self._release(flat_bytes(data), most), spec)

    @override
    def error_bound(self, adapter: LoraAdapter) -> float:
        return self.inner.error_bound(adapter)

    @override
    def pack(self, values: Tensor, shapes: Shapes) -> Tensor:
        return self._press(self.inner.pack(values, shapes))

    @override
    def unpack(self, data: Tensor, shapes: Shapes) -> Tensor:
        return self.inner.unpack(self._release(data, self.inner.most(shapes)), shapes)

    @override
    def most(self, shapes: Shapes) -> int:
        """What incompressible data grows to: 3 bytes a block of 128 KiB, and a header."""
        inner = self.inner.most(shapes)
        return inner + inner // 128 + 64

    @override
    def bound(self, values: Tensor, shapes: Shapes) -> float:
        return self.inner.bound(values, shapes)

    def _press(self, data: Tensor) -> Tensor:
        planes = self.config.planes
        if len(data) % planes == 0:
            data = data.reshape(-1, planes).T.reshape(-1)
        writer = zstandard.ZstdCompressor(
            level=self.config.level, write_content_size=False, write_checksum=True
        )
        return torch.frombuffer(
            bytearray(writer.compress(data.numpy().tobytes())), dtype=torch.uint8
        )

    def _release(self, data: Tensor, most: int) -> Tensor:
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
        out, frame = bytearray(), data.numpy().tobytes()
        try:
            for at in range(0, len(frame), _PIECE):
                if reader.eof:
                    raise FedloraError("encoded adapter with something after its end")
                out += reader.decompress(frame[at : at + _PIECE])
                if len(out) > most:
                    raise FedloraError(f"encoded adapter grows beyond {most} bytes")
        except zstandard.ZstdError as error:
            raise FedloraError(f"encoded adapter is damaged: {error}") from None
        if not reader.eof or reader.unused_data:
            raise FedloraError("encoded adapter is cut short, or has something after its end")
        values = (
            torch.frombuffer(out, dtype=torch.uint8) if out else torch.zeros(0, dtype=torch.uint8)
        )
        planes = self.config.planes
        if len(values) % planes == 0:
            values = values.reshape(planes, -1).T.reshape(-1)
        return values
